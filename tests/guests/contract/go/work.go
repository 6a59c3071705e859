// Every operation of the host once, on small numbers.
package main

import (
	"fmt"
	"strings"

	"nereid"
	"nereid/operations"
)

// One grey pixel of 200.
const picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGM4AQAAygDJmcpdfgAAAABJRU5ErkJggg=="

// lines are what was shown.
type lines []string

// show adds name, shape and whole numbers.
func (l *lines) show(name string, tensor *nereid.Tensor) {
	whole := sure(nereid.Values[int64](sure(operations.Cast(tensor, nereid.Int64, operations.Casting{}))))
	shape := strings.ReplaceAll(fmt.Sprint(tensor.Shape()), " ", ",")
	numbers := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprint(whole), "["), "]")
	*l = append(*l, fmt.Sprintf("%s %s %s", name, shape, numbers))
}

func allOperations(_ *contract, _ *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
	var all lines
	all.numbers(sure(x.Reshape([]int{2, 3})))
	all.boxes()
	all.pictures(sure(x.Reshape([]int{2, 3, 1})))
	all.texts()
	return said(x, strings.Join(all, "\n"))
}

func (l *lines) numbers(a *nereid.Tensor) {
	l.show("normalise", sure(operations.Normalise(a, 1, []float32{1}, []float32{0.5}, -1)))
	l.show("affine", sure(operations.Affine(a, []float32{10, 20, 30}, []float32{1}, -1)))
	halves := sure(operations.Affine(a, []float32{0.5}, nil, -1))
	l.show("round", sure(operations.Cast(halves, nereid.Int32, operations.Casting{Round: true})))
	l.show("transpose", sure(operations.Transpose(a, 1, 0)))
	l.show("concat", sure(operations.Concat(0, a, a)))
	l.show("stack", sure(operations.Stack(0, a, a)))
	l.show("split", sure(operations.Split(a, 1, 1, 2))[1])
	l.show("pad", sure(operations.Pad(a, []int{1, 0}, []int{0, 1}, 9)))
	even := sure(operations.Softmax(sure(nereid.Zeros(nereid.FP32, []int{2})), -1))
	l.show("softmax", sure(operations.Affine(even, []float32{100}, nil, -1)))
	l.show("argmax", sure(operations.Argmax(a, -1)))
	values, indices, err := operations.TopK(a, 2, -1)
	l.show("top-k", sure(values, err))
	l.show("top-k", indices)
}

func (l *lines) boxes() {
	boxes := sure(nereid.FromSlice([]int{3, 4}, []float32{0, 0, 10, 10, 0, 0, 10, 9, 20, 20, 30, 30}))
	scores := sure(nereid.FromSlice([]int{3}, []float32{0.5, 0.875, 0.75}))
	least := 0.0
	l.show("suppress", sure(operations.Suppress(boxes, scores, operations.Suppression{Overlap: 0.5})))
	best := operations.Suppression{Overlap: 0.5, ScoreMin: &least, KeptMax: 1}
	l.show("suppress", sure(operations.Suppress(boxes, scores, best)))
}

func (l *lines) pictures(image *nereid.Tensor) {
	l.show("crop", sure(operations.Crop(image, operations.Window{Left: 1, Height: 2, Width: 2})))
	l.show("resize", sure(operations.Resize(image, 1, 6, operations.Nearest)))
	planes := sure(operations.ToChannelsFirst(image))
	l.show("first", planes)
	l.show("last", sure(operations.ToChannelsLast(planes)))
}

func (l *lines) texts() {
	texts := sure(operations.FromTexts([]int{2}, []string{"cat", "dog"}))
	encoded := sure(operations.EncodeBase64(texts, operations.Base64{}))
	words := append([]string{"base64"}, sure(operations.Texts(encoded, 0, 2))...)
	words = append(words, sure(operations.Texts(sure(operations.DecodeBase64(encoded, false)), 1, 1))...)
	*l = append(*l, strings.Join(words, " "))
	l.show("blob", sure(operations.BlobBytes(texts, 1)))
	file := sure(operations.DecodeBase64(sure(nereid.FromTexts([]int{1}, []string{picture})), false))
	l.show("decode", sure(operations.DecodeImage(file, 0, operations.Decoding{Channels: 3})))
}
