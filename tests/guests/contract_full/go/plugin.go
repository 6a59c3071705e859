// The contract test's plugin with the whole life of a model in Go. `tests/guests/contract_full/README.md` has the list that all languages
// share.
package main

import (
	"nereid"
	"nereid/state"
)

type contract struct {
	health string
	kept   []keptRequest
}

// keptRequest is a sender that was kept, and what its request asked.
type keptRequest struct {
	sender *nereid.Sender
	values []float32
	shape  []int
}

func newContract() (*contract, error) {
	return &contract{health: "well"}, nil
}

func complete(draft *nereid.ConfigDraft) error {
	if _, there := nereid.LookupSetting("unknown"); there {
		return nereid.Errorf(nereid.InvalidArgument, "nothing is known")
	}
	for _, input := range draft.Inputs {
		if input.DataType == nil {
			draft.Input(input.Name, nereid.Int64, 2, 3)
		}
	}
	draft.Input("X", nereid.FP32, -1)
	draft.Input("W", nereid.Bytes, 1).Optional = true
	draft.Output("X", nereid.FP32, -1)
	draft.MaxBatchSize = 8
	draft.DynamicBatching = true
	draft.Decoupled = new(bool)
	return nil
}

func (c *contract) Answer(request *nereid.Request) (nereid.Outcome, error) {
	x, err := request.Input("X")
	if err != nil {
		return nil, err
	}
	switch mode := request.Parameters().Text("mode"); mode {
	case "sick", "well", "hang":
		c.health = mode
	case "keep":
		return c.keep(request, x)
	}
	return &nereid.Response{Outputs: nereid.Tensors{"X": x}}, nil
}

func (c *contract) keep(request *nereid.Request, x *nereid.Tensor) (nereid.Outcome, error) {
	sender, err := request.Sender()
	if err != nil {
		return nil, err
	}
	values, err := nereid.Values[float32](x)
	c.kept = append(c.kept, keptRequest{sender, values, x.Shape()})
	return nereid.Deferred, err
}

// CheckReady says what the last request that knew it said.
func (c *contract) CheckReady() error {
	for c.health == "hang" {
	}
	if c.health == "sick" {
		return nereid.Errorf(nereid.Unavailable, "out of order")
	}
	return nil
}

// Drain answers what was kept.
func (c *contract) Drain() {
	for _, kept := range c.kept {
		for index := range kept.values {
			kept.values[index] += 100
		}
		if x, err := nereid.FromSlice(kept.shape, kept.values); err == nil {
			_ = kept.sender.Respond(&nereid.Response{Outputs: nereid.Tensors{"X": x}})
		}
	}
	c.kept = nil
	_, _ = state.Add("drained", 1)
}

func init() {
	nereid.ExportFullModel(newContract, complete)
}

func main() {}
