// Its input, times a factor. README.md has the commands that build, test and serve it.
package main

import "nereid"

type double struct {
	factor float32
}

func newDouble() (*double, error) {
	// The parameters of config.pbtxt, read once per instance.
	factor, err := nereid.Setting("factor", float32(2))
	return &double{factor}, err
}

func (d *double) Run(request *nereid.Request, inputs nereid.Tensors) (*nereid.Response, error) {
	x, err := inputs.Get("X")
	if err != nil {
		return nil, err
	}
	values, err := nereid.Values[float32](x)
	if err != nil {
		return nil, err
	}
	for index := range values {
		values[index] *= d.factor
	}
	y, err := nereid.FromSlice(x.Shape(), values)
	return &nereid.Response{Outputs: nereid.Tensors{"Y": y}}, err
}

func init() {
	nereid.ExportTransform(newDouble)
}

func main() {} // Go wants one; it is not called.
