package nereid

import (
	"strconv"
	"time"

	"nereid/internal/contract/nereid_plugin_serving"
)

// Request is what a plugin is asked, for the length of the call.
type Request struct {
	handle *nereid_plugin_serving.Request
}

// ID is the client's own name for the request; "" when it gave none.
func (r *Request) ID() string {
	return r.handle.Id()
}

// Inputs are the input tensors. Transform.Run is given them besides.
func (r *Request) Inputs() (Tensors, error) {
	named, err := Checked(r.handle.Inputs())
	return tensorsOf(named), err
}

// Input is the input under a name. One that is optional and was left out is an error; Inputs shows whether it is there.
func (r *Request) Input(name string) (*Tensor, error) {
	found, err := Checked(r.handle.Input(name))
	if err != nil {
		return nil, err
	}
	tensor, present := found.Get()
	if !present {
		return nil, Errorf(InvalidArgument, "input '%s' is missing", name)
	}
	return &Tensor{tensor}, nil
}

// Rows is the first dimension of the tensors where the model batches, otherwise 1.
func (r *Request) Rows() int {
	return int(r.handle.Rows())
}

// Parameters are the request's, without those that the protocol reserves.
func (r *Request) Parameters() Parameters {
	return parametersOf(r.handle.Parameters())
}

// WantedOutputs are the names of the outputs that the client wants; none when it wants all.
func (r *Request) WantedOutputs() []string {
	return r.handle.WantedOutputs()
}

// Wants says whether the client wants an output: worth asking before an expensive one is computed.
func (r *Request) Wants(name string) bool {
	return r.handle.Wants(name)
}

// Sequence is where the request stands in its sequence; nil when it belongs to none.
func (r *Request) Sequence() *Sequence {
	found, present := r.handle.Sequence().Get()
	if !present {
		return nil
	}
	sequence := Sequence{Start: found.Start, End: found.End}
	if found.Id.Tag() == nereid_plugin_serving.SequenceIdText {
		sequence.Text = found.Id.Text()
	} else {
		sequence.Number = found.Id.Number()
	}
	return &sequence
}

// Priority is what the client gave: 1 is the most urgent, 0 the model's default.
func (r *Request) Priority() uint64 {
	return r.handle.Priority()
}

// Tenant is on whose account the request goes; "" when on nobody's.
func (r *Request) Tenant() string {
	tenant, _ := r.handle.Tenant().Get()
	return tenant
}

// Remaining is the time until the host ends the call. Ask in long loops, to answer with an error of your own in time.
func (r *Request) Remaining() time.Duration {
	return time.Duration(r.handle.RemainingMs()) * time.Millisecond
}

// Cancelled says whether the client is gone, so that nobody will read the answer.
func (r *Request) Cancelled() bool {
	return r.handle.Cancelled()
}

// Sequence is where a request stands in its sequence. Its name is a number other than 0, or a text.
type Sequence struct {
	Number     uint64
	Text       string
	Start, End bool
}

// ID is the name, of whichever kind.
func (s *Sequence) ID() string {
	if s.Text != "" {
		return s.Text
	}
	return strconv.FormatUint(s.Number, 10)
}

func (s *Sequence) toHost() nereid_plugin_serving.Sequence {
	id := nereid_plugin_serving.MakeSequenceIdNumber(s.Number)
	if s.Text != "" {
		id = nereid_plugin_serving.MakeSequenceIdText(s.Text)
	}
	return nereid_plugin_serving.Sequence{Id: id, Start: s.Start, End: s.End}
}
