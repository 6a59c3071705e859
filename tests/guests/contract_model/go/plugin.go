// The contract test's plugin of whole batches in Go: does what the request's parameter `mode` says.
// `tests/guests/contract_model/README.md` has the list that all languages share.
package main

import (
	"fmt"

	"nereid"
	"nereid/state"
)

type contract struct {
	batched int
	kept    []keptRequest
	noticed string
}

// keptRequest is a sender that was kept, and what its request asked.
type keptRequest struct {
	sender *nereid.Sender
	values []float32
	shape  []int
}

func newContract() (*contract, error) {
	if _, there := nereid.LookupSetting("refuse"); there {
		return nil, nereid.Errorf(nereid.InvalidArgument, "the setting 'refuse' is there")
	}
	return &contract{noticed: "nothing yet"}, nil
}

// Execute remembers the size of the batch, and answers one after the other.
func (c *contract) Execute(batch []*nereid.Request) []nereid.Outcome {
	c.batched = len(batch)
	outcomes := make([]nereid.Outcome, len(batch))
	for index, request := range batch {
		outcome, err := c.Answer(request)
		if err != nil {
			outcome = nereid.Failure(err)
		}
		outcomes[index] = outcome
	}
	return outcomes
}

func (c *contract) Answer(request *nereid.Request) (nereid.Outcome, error) {
	inputs, err := request.Inputs()
	if err != nil {
		return nil, err
	}
	x, err := inputs.Get("X")
	if err != nil {
		return nil, err
	}
	switch mode := request.Parameters().Text("mode"); mode {
	case "pass":
		return answer(x, nil), nil
	case "batch":
		return answer(x, nereid.Parameters{"batch": c.batched, "rows": request.Rows()}), nil
	case "refuse":
		return nil, nereid.Errorf(nereid.InvalidArgument, "this request is refused")
	case "again":
		more, err := plus(x, 1)
		return nereid.Reschedule{"X": more}, err
	case "noticed":
		return answer(x, nereid.Parameters{"said": c.noticed}), nil
	case "finalised":
		count, err := state.Add("finalised", 0)
		return answer(x, nereid.Parameters{"said": fmt.Sprint(count)}), err
	case "flush":
		return answer(x, nil), c.flush()
	case "trap":
		return failOnPurpose(x), nil
	default:
		return c.answerLater(mode, request, x)
	}
}

// Finalise counts in the state.
func (c *contract) Finalise() {
	_, _ = state.Add("finalised", 1)
}

// answerLater does what goes through the request's sender.
func (c *contract) answerLater(mode string, request *nereid.Request, x *nereid.Tensor) (nereid.Outcome, error) {
	act, known := map[string]func(*nereid.Request, *nereid.Sender, *nereid.Tensor) error{
		"stream": stream, "respond": respond, "fail": fail, "keep": c.keep, "endless": c.endless,
	}[mode]
	if !known {
		return nil, nereid.Errorf(nereid.NotFound, "there is no such mode")
	}
	sender, err := request.Sender()
	if err != nil {
		return nil, err
	}
	return nereid.Deferred, act(request, sender, x)
}

func stream(request *nereid.Request, sender *nereid.Sender, x *nereid.Tensor) error {
	count, _ := request.Parameters()["count"].(int64)
	for number := range count {
		y, err := plus(x, float32(number))
		if err != nil {
			return err
		}
		if err := sender.Send(answer(y, nil)); err != nil {
			return err
		}
	}
	sender.Finish()
	return nil
}

func respond(_ *nereid.Request, sender *nereid.Sender, x *nereid.Tensor) error {
	y, err := plus(x, 7)
	if err != nil {
		return err
	}
	return sender.Respond(answer(y, nil))
}

func fail(_ *nereid.Request, sender *nereid.Sender, _ *nereid.Tensor) error {
	sender.Fail(nereid.Errorf(nereid.Unavailable, "not today"))
	return nil
}

func (c *contract) keep(_ *nereid.Request, sender *nereid.Sender, x *nereid.Tensor) error {
	values, err := nereid.Values[float32](x)
	c.kept = append(c.kept, keptRequest{sender, values, x.Shape()})
	return err
}

func (c *contract) flush() error {
	for _, kept := range c.kept {
		y, err := sum(kept.shape, kept.values, 100)
		if err != nil {
			return err
		}
		if err := kept.sender.Respond(answer(y, nil)); err != nil {
			return err
		}
	}
	c.kept = nil
	return nil
}

func (c *contract) endless(_ *nereid.Request, sender *nereid.Sender, x *nereid.Tensor) error {
	for {
		if err := sender.Send(answer(x.Share(), nil)); err != nil {
			c.noticed = fmt.Sprint(nereid.CodeOf(err), " ", sender.Cancelled())
			return nil
		}
	}
}

func answer(x *nereid.Tensor, parameters nereid.Parameters) *nereid.Response {
	return &nereid.Response{Outputs: nereid.Tensors{"X": x}, Parameters: parameters}
}

func plus(x *nereid.Tensor, number float32) (*nereid.Tensor, error) {
	values, err := nereid.Values[float32](x)
	if err != nil {
		return nil, err
	}
	return sum(x.Shape(), values, number)
}

func sum(shape []int, values []float32, number float32) (*nereid.Tensor, error) {
	for index := range values {
		values[index] += number
	}
	return nereid.FromSlice(shape, values)
}

// An accident of the language, whose place must be read.
func failOnPurpose(x *nereid.Tensor) nereid.Outcome {
	panic("out of luck")
}

func init() {
	nereid.ExportModel(newContract)
}

func main() {}
