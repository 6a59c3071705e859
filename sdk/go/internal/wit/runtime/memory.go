// Package runtime is what the contract's bindings call below them: memory that crosses, and handles.
//
// Memory crosses in two directions. What a call gives away must stay where it is until the call is over: a Pinner keeps it. What the
// host gives, it writes into memory that it asks for with cabi_realloc, in the middle of a call: that memory is Go's own, kept until
// whoever is in a call has turned it into values, and collected like any other afterwards. Nothing is copied twice.
//
// While it asks, nothing of the host may be called, clocks included, and the collector reads the clock. So it is kept out of there,
// and of there alone: it runs as always in the plugin's own code.
package runtime

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

// kept is what the host was given room in, by the calls that are under way.
var kept []unsafe.Pointer

// underWay counts the pinners that keep something. Goroutines may be in the middle of several calls.
var underWay int

// handed is how many bytes the host was given room for since other goroutines had their turn.
var handed uintptr

const handedMax = 1 << 20

// Pinner keeps memory where it is while a call is under way. Go's collector moves nothing, so that a reference is enough.
type Pinner struct {
	references []unsafe.Pointer
	first      [4]unsafe.Pointer
	inUse      bool
}

// Pin keeps what the pointer points to.
func (p *Pinner) Pin(pointer unsafe.Pointer) {
	if !p.inUse {
		p.inUse = true
		p.references = p.first[:0]
		underWay++
	}
	p.references = append(p.references, pointer)
}

// Unpin ends the call: what was kept for it goes, and what the host wrote if no other call is under way.
func (p *Pinner) Unpin() {
	if p.inUse {
		*p = Pinner{}
		underWay--
	}
	Unpin()
}

// Unpin lets go of what the host wrote, once it is values: the values refer to it.
func Unpin() {
	if underWay == 0 {
		clear(kept)
		kept = kept[:0]
	}
}

// Allocate makes room that a pinner keeps. Every call that gives something back begins with it, so that here is where other
// goroutines get their turn, the collector's above all: a plugin that reads one tensor after the other never waits, and without them
// a collection goes on for so long that twice the memory is in use.
func Allocate(pinner *Pinner, size, align uintptr) unsafe.Pointer {
	if handed >= handedMax {
		handed = 0
		runtime.Gosched()
	}
	pointer := room(size, align)
	pinner.Pin(pointer)
	return pointer
}

// room is zeroed, and of a type whose alignment it has.
func room(size, align uintptr) unsafe.Pointer {
	count := (size + align - 1) / align
	switch {
	case size == 0:
		return nil
	case align == 1:
		return unsafe.Pointer(unsafe.SliceData(make([]uint8, count)))
	case align == 2:
		return unsafe.Pointer(unsafe.SliceData(make([]uint16, count)))
	case align == 4:
		return unsafe.Pointer(unsafe.SliceData(make([]uint32, count)))
	case align == 8:
		return unsafe.Pointer(unsafe.SliceData(make([]uint64, count)))
	default:
		panic("nereid: memory of an alignment that the contract does not have")
	}
}

// acquirem and releasem are of Go's own runtime. Between them the goroutine stays where it is, and no collection begins, nor is
// one helped on: both read the clock.
//
//go:linkname acquirem runtime.acquirem
func acquirem() unsafe.Pointer

//go:linkname releasem runtime.releasem
func releasem(machine unsafe.Pointer)

// goal is how much memory Go's runtime would keep before it gives some back to the system, which takes the time of it. There is no
// giving back in WebAssembly. It is set anew after every collection.
//
//go:linkname goal runtime.scavenge
var goal atomic.Uint64

// sbrk is memory before Go has any.
//
//go:linkname sbrk runtime.sbrk
func sbrk(size uintptr) unsafe.Pointer

// started is true once Go can allocate.
var started bool

func init() {
	started = true
}

//go:wasmexport cabi_realloc
func cabiRealloc(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	if old != nil || oldSize != 0 {
		panic("nereid: the host asked to move memory, which it never does")
	}
	if !started {
		start := uintptr(sbrk(size + align))
		return unsafe.Pointer((start + align - 1) &^ (align - 1))
	}
	machine := acquirem()
	goal.Store(^uint64(0))
	pointer := room(size, align)
	kept = append(kept, pointer)
	handed += size
	releasem(machine)
	return pointer
}
