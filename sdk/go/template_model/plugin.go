// Its input, times a factor: a batch at a time. README.md has the commands that build, test and serve it. With
// nereid.ExportFullModel it could complete config.pbtxt, and say when it is not ready.
package main

import (
	"nereid"
	"nereid/operations"
)

type double struct {
	factor float32
}

func newDouble() (*double, error) {
	// The parameters of config.pbtxt, read once per instance; an error here fails the load.
	factor, err := nereid.Setting("factor", float32(2))
	return &double{factor}, err
}

// Answer answers one request of the batch; its error does not touch the others.
func (d *double) Answer(request *nereid.Request) (nereid.Outcome, error) {
	x, err := request.Input("X")
	if err != nil {
		return nil, err
	}
	y, err := operations.Affine(x, []float32{d.factor}, nil, -1)
	return &nereid.Response{Outputs: nereid.Tensors{"Y": y}}, err
}

func init() {
	nereid.ExportModel(newDouble)
}

func main() {} // Go wants one; it is not called.
