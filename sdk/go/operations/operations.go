// Package operations is what plugins do with tensors most often, done by the host at the machine's own speed: images, layouts, numbers,
// rankings, texts. Nothing is copied into the plugin's memory, and an operation leaves its arguments as they were.
//
// Axes are counted from the outside, from 0 on; negative ones from the inside, from -1 on. An image is a tensor
// [height, width, channels]; most operations also take a batch of images of one size. Errors say operation, argument, expected and
// found.
package operations

import (
	"nereid"
	host "nereid/internal/contract/nereid_plugin_operations"
	"nereid/internal/contract/nereid_plugin_tensors"
	"nereid/internal/contract/nereid_plugin_types"
	wit "nereid/internal/wit/types"
)

// Resampling is what a pixel of a resized image is made of.
type Resampling uint8

// The kinds.
const (
	// Nearest is the pixel in whose middle it lies.
	Nearest Resampling = iota
	// Bilinear is the four around it, whatever lies between them: OpenCV's INTER_LINEAR, PyTorch's interpolate.
	Bilinear
	// AntialiasedBox is the mean of what it covers: Pillow's BOX, OpenCV's INTER_AREA.
	AntialiasedBox
	// AntialiasedBilinear is weights that fall in a line: Pillow's BILINEAR, torchvision's default.
	AntialiasedBilinear
	// AntialiasedBicubic is Pillow's BICUBIC.
	AntialiasedBicubic
	// AntialiasedLanczos is Pillow's LANCZOS.
	AntialiasedLanczos
)

// Decoding says how a picture is decoded. Channels is 1 (grey), 3 (red, green, blue) or 4 (with alpha), or 0 for the file's own.
// KeepOrientation: pixels are not turned upright as EXIF says. Larger images than PixelsMax are refused; 0 is the host's own limit.
type Decoding struct {
	Channels        int
	KeepOrientation bool
	PixelsMax       int
}

// DecodeImage decodes one element of a Bytes tensor, or a flat UINT8 tensor: a whole JPEG, PNG or WebP file. Gives UINT8
// [height, width, channels].
func DecodeImage(files *nereid.Tensor, index int, decoding Decoding) (*nereid.Tensor, error) {
	options := nereid.Parameters{"keep-orientation": decoding.KeepOrientation}
	if decoding.PixelsMax != 0 {
		options["pixels-max"] = decoding.PixelsMax
	}
	return made(host.DecodeImage(files.Host(), uint32(index), uint32(decoding.Channels), nereid.Options(options)))
}

// Resize makes images of UINT8 or FP32 of another size.
func Resize(image *nereid.Tensor, height, width int, resampling Resampling) (*nereid.Tensor, error) {
	return made(host.Resize(image.Host(), uint32(height), uint32(width), uint8(resampling)))
}

// Window is a part of an image.
type Window struct {
	Top, Left, Height, Width int
}

// Crop is a part of each image.
func Crop(image *nereid.Tensor, part Window) (*nereid.Tensor, error) {
	window := host.Window{
		Top: uint32(part.Top), Left: uint32(part.Left), Height: uint32(part.Height), Width: uint32(part.Width),
	}
	return made(host.Crop(image.Host(), window))
}

// Normalise is (x * scale - mean) / deviation as FP32. The lists have one value for all elements or one for each place along the
// axis: -1 for the channels of an image, -3 once they are planes.
func Normalise(tensor *nereid.Tensor, scale float32, mean, deviation []float32, axis int) (*nereid.Tensor, error) {
	return made(host.Normalise(tensor.Host(), scale, mean, deviation, int32(axis)))
}

// Affine is x * scale + bias as FP32; the lists as in Normalise, no bias is zero.
func Affine(tensor *nereid.Tensor, scale, bias []float32, axis int) (*nereid.Tensor, error) {
	return made(host.Affine(tensor.Host(), scale, bias, int32(axis)))
}

// ToChannelsFirst makes […, channels, height, width] of […, height, width, channels].
func ToChannelsFirst(tensor *nereid.Tensor) (*nereid.Tensor, error) {
	return made(host.ToChannelsFirst(tensor.Host()))
}

// ToChannelsLast makes […, height, width, channels] of […, channels, height, width].
func ToChannelsLast(tensor *nereid.Tensor) (*nereid.Tensor, error) {
	return made(host.ToChannelsLast(tensor.Host()))
}

// Transpose puts the dimensions in another order: axes has the old one for each new one, as in NumPy.
func Transpose(tensor *nereid.Tensor, axes ...int) (*nereid.Tensor, error) {
	return made(host.Transpose(tensor.Host(), naturals(axes)))
}

// Casting says what becomes of numbers that do not fit: with RefuseOverflow an error instead of the nearest one; with Round,
// fractions go to the nearest whole number, halves to the even one, instead of being cut off.
type Casting struct {
	RefuseOverflow, Round bool
}

// Cast is the same numbers as another type.
func Cast(tensor *nereid.Tensor, to nereid.DataType, casting Casting) (*nereid.Tensor, error) {
	options := nereid.Options(nereid.Parameters{"refuse-overflow": casting.RefuseOverflow, "round": casting.Round})
	return made(host.Cast(tensor.Host(), uint8(to), options))
}

// Concat is tensors of one type one behind the other along an axis that they have.
func Concat(axis int, tensors ...*nereid.Tensor) (*nereid.Tensor, error) {
	return made(host.Concat(handles(tensors), int32(axis)))
}

// Stack is tensors of one type and shape one behind the other along a new axis: images to a batch with axis 0.
func Stack(axis int, tensors ...*nereid.Tensor) (*nereid.Tensor, error) {
	return made(host.Stack(handles(tensors), int32(axis)))
}

// Split is one tensor as several along an axis, each as long as extents says. Costs no copy along the outermost axis.
func Split(tensor *nereid.Tensor, axis int, extents ...int) ([]*nereid.Tensor, error) {
	found, err := nereid.Checked(host.Split(tensor.Host(), naturals(extents), int32(axis)))
	parts := make([]*nereid.Tensor, len(found))
	for index, part := range found {
		parts[index] = nereid.TensorOf(part)
	}
	return parts, err
}

// Pad puts elements of one value around a tensor of numbers: how many before and after, dimension by dimension.
func Pad(tensor *nereid.Tensor, before, after []int, value float64) (*nereid.Tensor, error) {
	return made(host.Pad(tensor.Host(), naturals(before), naturals(after), value))
}

// Softmax is probabilities along an axis, FP32.
func Softmax(tensor *nereid.Tensor, axis int) (*nereid.Tensor, error) {
	return made(host.Softmax(tensor.Host(), int32(axis)))
}

// Argmax is the place of the largest element along an axis, INT64; the axis goes.
func Argmax(tensor *nereid.Tensor, axis int) (*nereid.Tensor, error) {
	return made(host.Argmax(tensor.Host(), int32(axis)))
}

// TopK is the k largest elements along an axis, in order, and their places as INT64.
func TopK(tensor *nereid.Tensor, k, axis int) (values, indices *nereid.Tensor, err error) {
	ranked, err := nereid.Checked(host.TopK(tensor.Host(), uint32(k), int32(axis)))
	if err != nil {
		return nil, nil, err
	}
	return nereid.TensorOf(ranked.Values), nereid.TensorOf(ranked.Indices), nil
}

// Suppression says which boxes go: those that overlap a better one by more than Overlap (intersection over union), and with ScoreMin
// those below it; at most KeptMax stay unless it is 0. Boxes of different Classes leave each other alone. Form is "corners" (left,
// top, right, bottom; the default), "centre" (middle, width, height) or "top-left" (left, top, width, height).
type Suppression struct {
	Overlap  float32
	ScoreMin *float64
	KeptMax  int
	Classes  *nereid.Tensor
	Form     string
}

// Suppress is non-maximum suppression: the numbers of the boxes [n, 4] that are kept, by falling score, INT64.
func Suppress(boxes, scores *nereid.Tensor, suppression Suppression) (*nereid.Tensor, error) {
	classes := wit.None[*nereid_plugin_tensors.Tensor]()
	if suppression.Classes != nil {
		classes = wit.Some(suppression.Classes.Host())
	}
	options := nereid.Parameters{}
	if suppression.ScoreMin != nil {
		options["score-min"] = *suppression.ScoreMin
	}
	if suppression.KeptMax != 0 {
		options["kept-max"] = suppression.KeptMax
	}
	if suppression.Form != "" {
		options["form"] = suppression.Form
	}
	found := host.NonMaximumSuppression(
		boxes.Host(), scores.Host(), classes, suppression.Overlap, nereid.Options(options),
	)
	return made(found)
}

// Base64 is a way of writing it: with - and _ instead of + and /, without = at the end.
type Base64 struct {
	URLSafe, Unpadded bool
}

// EncodeBase64 is every element of a Bytes tensor as base64.
func EncodeBase64(tensor *nereid.Tensor, form Base64) (*nereid.Tensor, error) {
	options := nereid.Options(nereid.Parameters{"url-safe": form.URLSafe, "unpadded": form.Unpadded})
	return made(host.EncodeBase64(tensor.Host(), options))
}

// DecodeBase64 is what every element of a Bytes tensor encodes, with = at the end or without.
func DecodeBase64(tensor *nereid.Tensor, urlSafe bool) (*nereid.Tensor, error) {
	return made(host.DecodeBase64(tensor.Host(), nereid.Options(nereid.Parameters{"url-safe": urlSafe})))
}

// Texts are count elements of a Bytes tensor from number first on. One that is not UTF-8 is an error.
func Texts(tensor *nereid.Tensor, first, count int) ([]string, error) {
	return nereid.Checked(host.Texts(tensor.Host(), uint32(first), uint32(count)))
}

// FromTexts is a Bytes tensor of texts.
func FromTexts(shape []int, texts []string) (*nereid.Tensor, error) {
	extents := make([]uint64, len(shape))
	for index, extent := range shape {
		extents[index] = uint64(extent)
	}
	return made(host.FromTexts(extents, texts))
}

// BlobBytes is the bytes of one element of a Bytes tensor as a UINT8 tensor. Costs no copy.
func BlobBytes(tensor *nereid.Tensor, index int) (*nereid.Tensor, error) {
	return made(host.BlobBytes(tensor.Host(), uint32(index)))
}

func made(result wit.Result[*nereid_plugin_tensors.Tensor, nereid_plugin_types.Error]) (*nereid.Tensor, error) {
	handle, err := nereid.Checked(result)
	if err != nil {
		return nil, err
	}
	return nereid.TensorOf(handle), nil
}

func handles(tensors []*nereid.Tensor) []*nereid_plugin_tensors.Tensor {
	found := make([]*nereid_plugin_tensors.Tensor, len(tensors))
	for index, tensor := range tensors {
		found[index] = tensor.Host()
	}
	return found
}

func naturals(numbers []int) []uint32 {
	found := make([]uint32, len(numbers))
	for index, number := range numbers {
		found[index] = uint32(number)
	}
	return found
}
