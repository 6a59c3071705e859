// Package wit_types has what the contract's bindings are written with and Go lacks: a value that may be missing, a value or an
// error, nothing, two values. The bindings decide names and methods.
package wit_types

// The cases of an Option.
const (
	OptionNone = 0
	OptionSome = 1
)

// Option is a value that may be missing.
type Option[T any] struct {
	value   T
	present bool
}

// Some is a value that is there.
func Some[T any](value T) Option[T] {
	return Option[T]{value, true}
}

// None is none.
func None[T any]() Option[T] {
	return Option[T]{}
}

// OfPointer is what the pointer points to, none for nil.
func OfPointer[T any](value *T) Option[T] {
	if value == nil {
		return None[T]()
	}
	return Some(*value)
}

// Tag is the case.
func (o Option[T]) Tag() uint8 {
	if o.present {
		return OptionSome
	}
	return OptionNone
}

// Some is the value, which must be there.
func (o Option[T]) Some() T {
	if !o.present {
		panic("nereid: a value was expected and there is none")
	}
	return o.value
}

// Get is the value, and whether it is there.
func (o Option[T]) Get() (T, bool) {
	return o.value, o.present
}

// The cases of a Result.
const (
	ResultOk  = 0
	ResultErr = 1
)

// Result is a value or an error.
type Result[T any, E any] struct {
	value  T
	err    E
	failed bool
}

// Ok is the value of what went well.
func Ok[T any, E any](value T) Result[T, E] {
	return Result[T, E]{value: value}
}

// Err is the error of what did not.
func Err[T any, E any](err E) Result[T, E] {
	return Result[T, E]{err: err, failed: true}
}

// Tag is the case.
func (r Result[T, E]) Tag() uint8 {
	if r.failed {
		return ResultErr
	}
	return ResultOk
}

// Ok is the value, which must be there.
func (r Result[T, E]) Ok() T {
	if r.failed {
		panic("nereid: a value was expected and there is an error")
	}
	return r.value
}

// Err is the error, which must be there.
func (r Result[T, E]) Err() E {
	if !r.failed {
		panic("nereid: an error was expected and there is a value")
	}
	return r.err
}

// IsErr says whether it is an error.
func (r Result[T, E]) IsErr() bool {
	return r.failed
}

// Unit is no value.
type Unit struct{}

// Tuple2 is two values.
type Tuple2[A any, B any] struct {
	F0 A
	F1 B
}
