// Package nereid is for plugins in Go: a function or a whole model, tensors, calls to other models.
//
//	package main
//
//	import "nereid"
//
//	type double struct{}
//
//	func (double) Run(request *nereid.Request, inputs nereid.Tensors) (*nereid.Response, error) {
//		x, err := inputs.Get("X")
//		if err != nil {
//			return nil, err
//		}
//		values, err := nereid.Values[float32](x)
//		if err != nil {
//			return nil, err
//		}
//		for index := range values {
//			values[index] *= 2
//		}
//		y, err := nereid.FromSlice(x.Shape(), values)
//		return &nereid.Response{Outputs: nereid.Tensors{"Y": y}}, err
//	}
//
//	func init() {
//		nereid.ExportTransform(func() (double, error) { return double{}, nil })
//	}
//
//	func main() {} // Go wants one; it is not called.
//
// ExportModel makes one that sees whole batches, sends many responses, answers later, or has a request executed again;
// ExportFullModel one that also knows its configuration, says when it cannot work, and has something to do before it goes.
//
// Cost: handing a tensor on is free whatever its size; reading or writing one copies it once. An error, and a panic too, is the
// answer to one request. Refused: keeping a tensor for the next call, because the host takes all of them back when a call ends.
// Where a tensor is handed on, in a response or a call, it is given away; Share keeps a handle.
package nereid
