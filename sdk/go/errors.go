package nereid

import (
	"errors"
	"fmt"

	wit "nereid/internal/wit/types"

	"nereid/internal/contract/nereid_plugin_types"
)

// Code is the kind of a failure. It decides the HTTP and gRPC status that a client sees.
type Code uint8

// The kinds.
const (
	// InvalidArgument: the request can never succeed as it is.
	InvalidArgument Code = iota
	// NotFound: a model, version or thing that does not exist.
	NotFound
	// Unavailable: cannot be served now; may succeed later.
	Unavailable
	// Unsupported: understood, and not offered.
	Unsupported
	// AlreadyExists: a name is taken.
	AlreadyExists
	// Cancelled: the caller gave up.
	Cancelled
	// DeadlineExceeded: the time given to the request, or to the plugin, ran out.
	DeadlineExceeded
	// ResourceExhausted: a limit on what one caller or plugin may use was reached.
	ResourceExhausted
	// Permission: not granted to this caller or plugin.
	Permission
	// Internal: the fault of a model or a plugin; never the caller's.
	Internal
)

var codeNames = [...]string{
	"invalid-argument", "not-found", "unavailable", "unsupported", "already-exists", "cancelled", "deadline-exceeded",
	"resource-exhausted", "permission", "internal",
}

// String is the kind as the contract calls it.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("code %d", uint8(c))
}

// Error is a failure that has a kind. One that a plugin returns, or wraps in what it returns, answers the request; errors of the
// host and of called models are of this type too. Any other error is answered as Internal.
type Error struct {
	Code    Code
	Message string
}

// Error is the text for the client.
func (e *Error) Error() string {
	return e.Message
}

// Errorf makes one: nereid.Errorf(nereid.InvalidArgument, "row %d is empty", row).
func Errorf(code Code, format string, arguments ...any) error {
	return &Error{code, fmt.Errorf(format, arguments...).Error()}
}

// CodeOf is the kind of an error: that of the Error in it, Internal where there is none.
func CodeOf(err error) Code {
	var known *Error
	if errors.As(err, &known) {
		return known.Code
	}
	return Internal
}

func errorToHost(err error) nereid_plugin_types.Error {
	return nereid_plugin_types.Error{Code: uint8(CodeOf(err)), Message: err.Error()}
}

// Checked is what the host answered, as Go has it. For this SDK's own packages: nobody else can name its argument.
func Checked[T any](result wit.Result[T, nereid_plugin_types.Error]) (T, error) {
	if result.IsErr() {
		var nothing T
		refused := result.Err()
		return nothing, &Error{Code(refused.Code), refused.Message}
	}
	return result.Ok(), nil
}

// Done is Checked for what has no value.
func Done(result wit.Result[wit.Unit, nereid_plugin_types.Error]) error {
	_, err := Checked(result)
	return err
}
