package nereid

import (
	"sort"
	"strings"
	"unsafe"

	"nereid/internal/contract/nereid_plugin_tensors"
	"nereid/internal/wit/runtime"
)

// pieceBytes is what one copy from or to the host has at most, so that a large tensor needs no second one of its size beside it.
const pieceBytes = 1 << 20

// Tensor is the host's typed, shaped bytes, held by a handle for the length of a call. Cheap to hold and to hand on.
type Tensor struct {
	handle *nereid_plugin_tensors.Tensor
}

// Tensors are tensors under their names.
type Tensors map[string]*Tensor

// Get is the tensor under a name. The error, where there is none, says which there are.
func (t Tensors) Get(name string) (*Tensor, error) {
	if tensor, found := t[name]; found {
		return tensor, nil
	}
	return nil, Errorf(InvalidArgument, "tensor '%s' is missing; there are: %s", name, t.names())
}

func (t Tensors) names() string {
	names := make([]string, 0, len(t))
	for name := range t {
		names = append(names, "'"+name+"'")
	}
	sort.Strings(names)
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Zeros is a tensor of zeroes, to be filled with Write. Not for Bytes.
func Zeros(dataType DataType, shape []int) (*Tensor, error) {
	return made(Checked(nereid_plugin_tensors.TensorCreate(uint8(dataType), extents(shape))))
}

// FromSlice is a tensor over a copy of the elements, in row-major order; their type is the tensor's.
func FromSlice[T Element](shape []int, elements []T) (*Tensor, error) {
	return FromBytes(DataTypeOf[T](), shape, bytesOf(elements))
}

// FromBytes is a tensor over a copy of the bytes: little endian, dense, row-major.
func FromBytes(dataType DataType, shape []int, data []byte) (*Tensor, error) {
	return made(Checked(nereid_plugin_tensors.TensorFromBytes(uint8(dataType), extents(shape), data)))
}

// FromBlobs is a Bytes tensor of encoded images and the like.
func FromBlobs(shape []int, items [][]byte) (*Tensor, error) {
	return made(Checked(nereid_plugin_tensors.TensorFromBlobs(extents(shape), items)))
}

// FromTexts is a Bytes tensor of texts.
func FromTexts(shape []int, texts []string) (*Tensor, error) {
	items := make([][]byte, len(texts))
	for index, text := range texts {
		items[index] = unsafe.Slice(unsafe.StringData(text), len(text))
	}
	return FromBlobs(shape, items)
}

// DataType is the type of the elements.
func (t *Tensor) DataType() DataType {
	return DataType(t.handle.Dtype())
}

// Shape is the extent in each dimension. Where the model batches, the first dimension is the batch.
func (t *Tensor) Shape() []int {
	extents := t.handle.Shape()
	shape := make([]int, len(extents))
	for index, extent := range extents {
		shape[index] = int(extent)
	}
	return shape
}

// Count is the number of elements.
func (t *Tensor) Count() int {
	return int(t.handle.ElementCount())
}

// ByteSize is the length in bytes; for Bytes that of the wire encoding.
func (t *Tensor) ByteSize() int {
	return int(t.handle.ByteSize())
}

// Values is a copy of all elements in row-major order. T must be the tensor's type.
func Values[T Element](tensor *Tensor) ([]T, error) {
	if found, expected := tensor.DataType(), DataTypeOf[T](); found != expected {
		return nil, Errorf(InvalidArgument, "the tensor is of type %s, expected %s", found, expected)
	}
	elements := make([]T, tensor.Count())
	return elements, tensor.ReadAt(bytesOf(elements), 0)
}

// ReadAt fills a buffer with the tensor's bytes from an offset on. Beyond the end is an error.
func (t *Tensor) ReadAt(buffer []byte, offset int) error {
	for len(buffer) > 0 {
		length := min(len(buffer), pieceBytes)
		piece, err := Checked(t.handle.Read(uint32(offset), uint32(length)))
		if err != nil {
			return err
		}
		copy(buffer, piece)
		buffer, offset = buffer[length:], offset+length
	}
	return nil
}

// Bytes is a copy of the buffer; for Bytes tensors the wire encoding.
func (t *Tensor) Bytes() ([]byte, error) {
	buffer := make([]byte, t.ByteSize())
	return buffer, t.ReadAt(buffer, 0)
}

// Blobs is a copy of all elements of a Bytes tensor.
func (t *Tensor) Blobs() ([][]byte, error) {
	return Checked(t.handle.ReadBlobs(0, uint32(t.Count())))
}

// Texts is a copy of all elements of a Bytes tensor, whose bytes are taken for UTF-8 as they are.
func (t *Tensor) Texts() ([]string, error) {
	blobs, err := t.Blobs()
	texts := make([]string, len(blobs))
	for index, blob := range blobs {
		texts[index] = string(blob)
	}
	return texts, err
}

// Write overwrites elements from element first on. Only this handle sees the change. Not for Bytes.
func Write[T Element](tensor *Tensor, first int, elements []T) error {
	if found, expected := tensor.DataType(), DataTypeOf[T](); found != expected {
		return Errorf(InvalidArgument, "the tensor is of type %s, and %s is to be written", found, expected)
	}
	return tensor.WriteAt(bytesOf(elements), first*dataTypes[DataTypeOf[T]()].size)
}

// WriteAt overwrites the buffer's bytes from an offset on.
func (t *Tensor) WriteAt(data []byte, offset int) error {
	for len(data) > 0 {
		length := min(len(data), pieceBytes)
		if err := Done(t.handle.Write(uint32(offset), data[:length])); err != nil {
			return err
		}
		data, offset = data[length:], offset+length
	}
	return nil
}

// Share is another handle on the same tensor, so that one may be given away. Costs no copy.
func (t *Tensor) Share() *Tensor {
	return &Tensor{t.handle.Share()}
}

// Reshape is the same buffer under another shape of as many elements. Costs no copy.
func (t *Tensor) Reshape(shape []int) (*Tensor, error) {
	return made(Checked(t.handle.Reshape(extents(shape))))
}

// Slice is the elements from number first on, as many as the shape holds. Costs no copy.
func (t *Tensor) Slice(first int, shape []int) (*Tensor, error) {
	return made(Checked(t.handle.Slice(uint64(first), extents(shape))))
}

// Close gives the handle back before the call ends: for loops that see more than the host keeps at a time.
func (t *Tensor) Close() {
	t.handle.Drop()
}

// Host is the handle. For this SDK's own packages: nobody else can name its type.
func (t *Tensor) Host() *nereid_plugin_tensors.Tensor {
	return t.handle
}

// TensorOf is a tensor by its handle. For this SDK's own packages.
func TensorOf(handle *nereid_plugin_tensors.Tensor) *Tensor {
	return &Tensor{handle}
}

func made(handle *nereid_plugin_tensors.Tensor, err error) (*Tensor, error) {
	if err != nil {
		return nil, err
	}
	return &Tensor{handle}, nil
}

func extents(shape []int) []uint64 {
	found := make([]uint64, len(shape))
	for index, extent := range shape {
		found[index] = uint64(extent)
	}
	return found
}

// bytesOf is the same memory; WebAssembly is little endian.
func bytesOf[T Element](elements []T) []byte {
	var element T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(elements))), len(elements)*int(unsafe.Sizeof(element)))
}

func tensorsOf(named []nereid_plugin_tensors.Named) Tensors {
	tensors := make(Tensors, len(named))
	for _, item := range named {
		tensors[item.Name] = &Tensor{item.Data}
	}
	return tensors
}

func (t *Tensor) give() *nereid_plugin_tensors.Tensor {
	return nereid_plugin_tensors.TensorFromOwnHandle(t.handle.TakeHandle())
}

// hand takes what is given away as an answer out of what is dropped when the call ends: the host takes it after that.
func hand(named []nereid_plugin_tensors.Named) {
	for _, item := range named {
		runtime.Keep(item.Data)
	}
}

// named is what is given away, in the order of the names. From then on the tensors themselves are used up, so that the second one
// who gives one away panics here, where it is told which request did.
func (t Tensors) named() ([]nereid_plugin_tensors.Named, error) {
	named := make([]nereid_plugin_tensors.Named, 0, len(t))
	for name, tensor := range t {
		if tensor == nil || tensor.handle == nil {
			return nil, Errorf(Internal, "tensor '%s' is nil", name)
		}
		named = append(named, nereid_plugin_tensors.Named{Name: name, Data: tensor.give()})
	}
	sort.Slice(named, func(left, right int) bool { return named[left].Name < named[right].Name })
	return named, nil
}
