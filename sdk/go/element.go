package nereid

import (
	"fmt"
	"math"
)

// DataType is the type of a tensor's elements.
type DataType uint8

// The types, under the names of config.pbtxt without TYPE_.
const (
	Bool DataType = iota
	Uint8
	Uint16
	Uint32
	Uint64
	Int8
	Int16
	Int32
	Int64
	FP16
	BF16
	FP32
	FP64
	// Bytes is a string of bytes of any length: text, an encoded image. Go has it as []byte and string: Blobs, Texts.
	Bytes
)

var dataTypes = [...]struct {
	name string
	size int
}{
	{"BOOL", 1}, {"UINT8", 1}, {"UINT16", 2}, {"UINT32", 4}, {"UINT64", 8}, {"INT8", 1}, {"INT16", 2}, {"INT32", 4}, {"INT64", 8},
	{"FP16", 2}, {"BF16", 2}, {"FP32", 4}, {"FP64", 8}, {"BYTES", 0},
}

// String is the type's name: FP32, INT64, BYTES.
func (d DataType) String() string {
	if int(d) < len(dataTypes) {
		return dataTypes[d].name
	}
	return fmt.Sprintf("data type %d", uint8(d))
}

// Float16 is an FP16 as its 16 bits. Go has no such number; operations.Cast makes FP32 of a whole tensor.
type Float16 uint16

// BFloat16 is a BF16 as its 16 bits: the upper half of a float32.
type BFloat16 uint16

// Float32 is the same number.
func (b BFloat16) Float32() float32 {
	return math.Float32frombits(uint32(b) << 16)
}

// BFloat16Of is the nearest one, ties to even.
func BFloat16Of(number float32) BFloat16 {
	bits := math.Float32bits(number)
	if number != number {
		return BFloat16(bits>>16 | 0x40)
	}
	return BFloat16((bits + 0x7fff + bits>>16&1) >> 16)
}

// Float32 is the same number.
func (f Float16) Float32() float32 {
	sign, exponent, fraction := uint32(f)>>15<<31, int(f>>10&0x1f), uint32(f&0x3ff)
	switch exponent {
	case 0:
		small := math.Ldexp(float64(fraction), -24)
		return math.Float32frombits(sign | math.Float32bits(float32(small)))
	case 0x1f:
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	default:
		return math.Float32frombits(sign | uint32(exponent+112)<<23 | fraction<<13)
	}
}

// Element is what a Go slice of a tensor's elements is of. BYTES is none of them.
type Element interface {
	bool | uint8 | uint16 | uint32 | uint64 | int8 | int16 | int32 | int64 | Float16 | BFloat16 | float32 | float64
}

// DataTypeOf is the type of tensor that a Go type is an element of.
func DataTypeOf[T Element]() DataType {
	var element T
	switch any(element).(type) {
	case bool:
		return Bool
	case uint8:
		return Uint8
	case uint16:
		return Uint16
	case uint32:
		return Uint32
	case uint64:
		return Uint64
	case int8:
		return Int8
	case int16:
		return Int16
	case int32:
		return Int32
	case int64:
		return Int64
	case Float16:
		return FP16
	case BFloat16:
		return BF16
	case float32:
		return FP32
	default:
		return FP64
	}
}
