package nereid

import (
	"math"
	"time"

	"nereid/internal/contract/nereid_plugin_inference"
	"nereid/internal/contract/nereid_plugin_serving"
	wit "nereid/internal/wit/types"
)

// Call is what is asked of another model of the server: one that plugin.toml lists under models in [grants].
type Call struct {
	Model string
	// Version is 0 for the highest one that is ready.
	Version uint64
	// Inputs are given away.
	Inputs Tensors
	// Outputs are the names of those wanted; none for all.
	Outputs    []string
	Parameters Parameters
	// Timeout is 0 for as long as the plugin's own call may take.
	Timeout time.Duration
	// ID and Priority are those of the plugin's own request where they are not given.
	ID       string
	Priority *uint64
	// Sequence is one of the model that is called. The plugin's own is not passed on by itself.
	Sequence *Sequence
}

// Infer calls a model that gives exactly one response, and waits for it. While a plugin waits, no thread of the server does.
func Infer(call Call) (*Response, error) {
	asked, err := call.toHost()
	if err != nil {
		return nil, err
	}
	found, err := Checked(nereid_plugin_inference.Infer(asked))
	if err != nil {
		return nil, err
	}
	return responseOf(found), nil
}

// Submit starts a call without waiting, so that several models can work at the same time.
func Submit(call Call) (*Pending, error) {
	asked, err := call.toHost()
	if err != nil {
		return nil, err
	}
	handle, err := Checked(nereid_plugin_inference.Submit(asked))
	if err != nil {
		return nil, err
	}
	return &Pending{handle}, nil
}

// WaitAny waits until one of the calls has something to receive, and gives its index; -1 when the time ran out. A timeout of 0 waits
// as long as it takes.
func WaitAny(calls []*Pending, timeout time.Duration) (int, error) {
	handles := make([]*nereid_plugin_inference.Pending, len(calls))
	for index, call := range calls {
		handles[index] = call.handle
	}
	first, err := Checked(nereid_plugin_inference.WaitAny(handles, milliseconds(timeout)))
	if err != nil {
		return -1, err
	}
	index, present := first.Get()
	if !present {
		return -1, nil
	}
	return int(index), nil
}

// ModelReady says whether the highest version of a model that is ready, or the given one, would accept a call now.
func ModelReady(model string, version uint64) bool {
	return nereid_plugin_inference.ModelReady(model, given(version))
}

// Pending is a call under way. The end of the plugin's own call cancels it.
type Pending struct {
	handle *nereid_plugin_inference.Pending
}

// Receive waits for the next response; nil after the last one: most models give one, decoupled models any number.
func (p *Pending) Receive() (*Response, error) {
	found, err := Checked(p.handle.Receive())
	if err != nil {
		return nil, err
	}
	response, present := found.Get()
	if !present {
		return nil, nil
	}
	return responseOf(response), nil
}

// Ready says whether Receive would return at once.
func (p *Pending) Ready() bool {
	return p.handle.Ready()
}

// Cancel gives the call up: Receive gives nil from now on.
func (p *Pending) Cancel() {
	p.handle.Cancel()
}

// Close gives the handle back before the plugin's own call ends, and cancels the call if it is under way.
func (p *Pending) Close() {
	p.handle.Drop()
}

func (c Call) toHost() (nereid_plugin_inference.Call, error) {
	inputs, err := c.Inputs.named()
	if err != nil {
		return nereid_plugin_inference.Call{}, err
	}
	parameters, err := c.Parameters.toHost()
	sequence := wit.None[nereid_plugin_serving.Sequence]()
	if c.Sequence != nil {
		sequence = wit.Some(c.Sequence.toHost())
	}
	return nereid_plugin_inference.Call{
		Model:         c.Model,
		Version:       given(c.Version),
		Inputs:        inputs,
		WantedOutputs: c.Outputs,
		Parameters:    parameters,
		TimeoutMs:     milliseconds(c.Timeout),
		Id:            given(c.ID),
		Priority:      wit.OfPointer(c.Priority),
		Sequence:      sequence,
	}, err
}

// given is the value, none for the one that stands for nothing.
func given[T comparable](value T) wit.Option[T] {
	var nothing T
	if value == nothing {
		return wit.None[T]()
	}
	return wit.Some(value)
}

// milliseconds are rounded up, so that a short time is still one.
func milliseconds(timeout time.Duration) wit.Option[uint32] {
	if timeout <= 0 {
		return wit.None[uint32]()
	}
	rounded := (timeout + time.Millisecond - 1) / time.Millisecond
	return wit.Some(uint32(min(rounded, math.MaxUint32)))
}
