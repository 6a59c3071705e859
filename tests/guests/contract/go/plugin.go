// The contract test's plugin in Go: does what the request's parameter `mode` says. `tests/guests/contract/README.md` has the list that
// all languages share.
package main

import (
	"errors"
	"fmt"

	"nereid"
	"nereid/log"
)

type contract struct {
	scale, bias float32
}

func newContract() (*contract, error) {
	scale, first := nereid.Setting("scale", float32(1))
	bias, second := nereid.Setting("bias", float32(0))
	return &contract{scale, bias}, errors.Join(first, second)
}

type action func(c *contract, request *nereid.Request, x *nereid.Tensor) (*nereid.Response, error)

var actions = map[string]action{
	"pass": func(_ *contract, _ *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
		return answer(x, nil)
	},
	"identity": func(_ *contract, _ *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
		return answer(identity(x))
	},
	"bytes": func(_ *contract, _ *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
		return answer(bytes(x))
	},
	"transform":  transform,
	"write":      func(*contract, *nereid.Request, *nereid.Tensor) (*nereid.Response, error) { return answer(written()) },
	"bls":        both,
	"call":       call,
	"responses":  responses,
	"request":    facts,
	"refuse":     refuse,
	"parameters": parameters,
	"model":      aboutModel,
	"log":        logged,
	"trap": func(_ *contract, _ *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
		return failOnPurpose(x)
	},
	"cancelled":  cancelled,
	"operations": allOperations,
	"tokenizers": allOfTokenizers,
	"state":      allOfState,
	"metrics":    allOfMetrics,
	"files":      allOfFiles,
	"secrets":    allOfSecrets,
	"http":       allOfHTTP,
	"control":    allOfControl,
	"spans":      allOfSpans,
	"garbage":    garbage,
	"twice":      twice,
	"accident":   func(*contract, *nereid.Request, *nereid.Tensor) (*nereid.Response, error) { return outside() },
}

func (c *contract) Run(request *nereid.Request, inputs nereid.Tensors) (*nereid.Response, error) {
	mode := request.Parameters().Text("mode")
	act, known := actions[mode]
	if !known {
		return nil, nereid.Errorf(nereid.NotFound, "there is no mode '%s'", mode)
	}
	x, err := inputs.Get("X")
	if err != nil {
		return nil, err
	}
	return act(c, request, x)
}

func answer(x *nereid.Tensor, err error) (*nereid.Response, error) {
	return &nereid.Response{Outputs: nereid.Tensors{"X": x}}, err
}

func identity(x *nereid.Tensor) (*nereid.Tensor, error) {
	switch x.DataType() {
	case nereid.Bool:
		return again[bool](x)
	case nereid.Uint8:
		return again[uint8](x)
	case nereid.Uint16:
		return again[uint16](x)
	case nereid.Uint32:
		return again[uint32](x)
	case nereid.Uint64:
		return again[uint64](x)
	case nereid.Int8:
		return again[int8](x)
	case nereid.Int16:
		return again[int16](x)
	case nereid.Int32:
		return again[int32](x)
	case nereid.Int64:
		return again[int64](x)
	case nereid.FP16:
		return again[nereid.Float16](x)
	case nereid.BF16:
		return again[nereid.BFloat16](x)
	case nereid.FP32:
		return again[float32](x)
	case nereid.FP64:
		return again[float64](x)
	}
	blobs, err := x.Blobs()
	if err != nil {
		return nil, err
	}
	return nereid.FromBlobs(x.Shape(), blobs)
}

func again[T nereid.Element](x *nereid.Tensor) (*nereid.Tensor, error) {
	values, err := nereid.Values[T](x)
	if err != nil {
		return nil, err
	}
	return nereid.FromSlice(x.Shape(), values)
}

func bytes(x *nereid.Tensor) (*nereid.Tensor, error) {
	data, err := x.Bytes()
	if err != nil {
		return nil, err
	}
	return nereid.FromBytes(x.DataType(), x.Shape(), data)
}

func transform(c *contract, _ *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
	values, err := nereid.Values[float32](x)
	if err != nil {
		return nil, err
	}
	for index := range values {
		values[index] = values[index]*c.scale + c.bias
	}
	return answer(nereid.FromSlice(x.Shape(), values))
}

func written() (*nereid.Tensor, error) {
	y, err := nereid.Zeros(nereid.FP32, []int{4})
	if err != nil {
		return nil, err
	}
	if err := nereid.Write(y, 1, []float32{1.5, 2.5}); err != nil {
		return nil, err
	}
	part, err := y.Slice(1, []int{2})
	if err != nil {
		return nil, err
	}
	column, err := part.Reshape([]int{2, 1})
	if err != nil {
		return nil, err
	}
	return column.Reshape([]int{2})
}

func both(_ *contract, _ *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
	var calls []*nereid.Pending
	for _, model := range []string{"left", "right"} {
		pending, err := nereid.Submit(nereid.Call{Model: model, Inputs: nereid.Tensors{"X": x.Share()}})
		if err != nil {
			return nil, err
		}
		calls = append(calls, pending)
	}
	first, err := nereid.WaitAny(calls, 0)
	if err != nil {
		return nil, err
	}
	total := make([]float32, x.Count())
	for _, pending := range calls {
		reply, err := pending.Receive()
		if err != nil {
			return nil, err
		}
		if err := add(total, reply); err != nil {
			return nil, err
		}
	}
	y, err := nereid.FromSlice(x.Shape(), total)
	return &nereid.Response{Outputs: nereid.Tensors{"X": y}, Parameters: nereid.Parameters{"first": first}}, err
}

func add(total []float32, reply *nereid.Response) error {
	output, err := reply.Output("X")
	if err != nil {
		return err
	}
	values, err := nereid.Values[float32](output)
	for index, value := range values {
		total[index%len(total)] += value
	}
	return err
}

func call(_ *contract, _ *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
	reply, err := nereid.Infer(nereid.Call{
		Model:      "left",
		Inputs:     nereid.Tensors{"X": x},
		Outputs:    []string{"X"},
		Parameters: nereid.Parameters{"depth": 1},
		Timeout:    5_000_000_000,
	})
	if err != nil {
		return nil, fmt.Errorf("of 'left': %w", err)
	}
	return reply, nil
}

func responses(_ *contract, _ *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
	pending, err := nereid.Submit(nereid.Call{Model: "many", Inputs: nereid.Tensors{"X": x}})
	if err != nil {
		return nil, err
	}
	var totals []float32
	for {
		reply, err := pending.Receive()
		if err != nil {
			return nil, err
		}
		if reply == nil {
			return answer(nereid.FromSlice([]int{len(totals)}, totals))
		}
		total := make([]float32, 1)
		if err := add(total, reply); err != nil {
			return nil, err
		}
		reply.Close()
		totals = append(totals, total[0])
	}
}

func refuse(*contract, *nereid.Request, *nereid.Tensor) (*nereid.Response, error) {
	return nil, nereid.Errorf(nereid.InvalidArgument, "this request is refused")
}

func parameters(_ *contract, request *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
	return &nereid.Response{Outputs: nereid.Tensors{"X": x}, Parameters: request.Parameters()}, nil
}

func aboutModel(_ *contract, _ *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
	model := nereid.ThisModel()
	about := nereid.Parameters{"name": model.Name, "version": model.Version, "input": model.Inputs[0].Name}
	return &nereid.Response{Outputs: nereid.Tensors{"X": x}, Parameters: about}, nil
}

func logged(_ *contract, _ *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
	log.Infof("the contract says %s", "hello")
	fmt.Println("the contract prints in go")
	return answer(x, nil)
}

func cancelled(_ *contract, request *nereid.Request, _ *nereid.Tensor) (*nereid.Response, error) {
	for !request.Cancelled() {
	}
	return nil, nereid.Errorf(nereid.Cancelled, "noticed that the client left")
}

// An accident of the language, whose place must be read.
func failOnPurpose(x *nereid.Tensor) (*nereid.Response, error) {
	panic("out of luck")
}

func init() {
	nereid.ExportTransform(newContract)
}

func main() {}
