package runtime

import (
	"slices"
	"unsafe"
)

// Handle is the number of something that the host owns; 0 once it was given away.
type Handle struct {
	number int32
}

// MakeHandle holds a number.
func MakeHandle(number int32) *Handle {
	if number == 0 {
		panic("nereid: the host gave no handle")
	}
	return &Handle{number}
}

// Use is the number, which must be there.
func (h *Handle) Use() int32 {
	if h.number == 0 {
		panic("nereid: used after it was given away or closed, or after the call that it belonged to; Share makes another handle first")
	}
	return h.number
}

// Take gives the number away.
func (h *Handle) Take() int32 {
	number := h.Use()
	h.number = 0
	return number
}

// TakeOrNil gives the number away if there is one.
func (h *Handle) TakeOrNil() int32 {
	number := h.number
	h.number = 0
	return number
}

// Set holds a number, where none is.
func (h *Handle) Set(number int32) {
	if h.number != 0 {
		panic("nereid: a handle is there already")
	}
	h.number = number
}

// open is every handle of the call under way, and how to drop it. Those that were given away are among them until there are many.
var open []opened

type opened struct {
	handle *Handle
	drop   func()
}

// openTidied is how many may be open until those that were given away are looked for.
var openTidied = openTidiedMin

const openTidiedMin = 1024

// AddCleanup is what bindings do with a handle that they were given. Go would drop it some time after it was forgotten; here it is
// dropped when the call ends, because the host takes back what belonged to the call, and a collection may be long in coming.
func AddCleanup[T any, A any](value *T, drop func(A), argument A) {
	if len(open) >= openTidied {
		open = slices.DeleteFunc(open, func(entry opened) bool { return entry.handle.number == 0 })
		openTidied = max(openTidiedMin, 2*len(open))
	}
	open = append(open, opened{handleIn(value), func() { drop(argument) }})
}

// handleIn is what bindings make every resource of: a struct with nothing but a handle.
func handleIn[T any](value *T) *Handle {
	return *(**Handle)(unsafe.Pointer(value))
}

// Keep takes what the bindings made out of those that are dropped when the call ends.
func Keep[T any](value *T) *T {
	for index := len(open) - 1; index >= 0; index-- {
		if open[index].handle == handleIn(value) {
			open = slices.Delete(open, index, index+1)
			break
		}
	}
	return value
}

// EndCall drops what was not given away.
func EndCall() {
	for index := range open {
		open[index].drop()
	}
	clear(open)
	open = open[:0]
}

// Started is called when all packages are there: what they keep for good is no call under way.
func Started() {
	underWay = 0
	kept = nil
}
