package nereid

import (
	"nereid/internal/contract/nereid_plugin_serving"
	"nereid/internal/wit/runtime"
)

// Sender sends responses that do not come back from the function that was asked: many, or later. It may be kept for later batches,
// until the deadline of its request.
type Sender struct {
	handle *nereid_plugin_serving.Sender
}

// Sender takes the request's sender, once: whoever holds it owes the client its end. Only in a Model, whose outcome must then be
// Deferred or a Reschedule.
func (r *Request) Sender() (*Sender, error) {
	handle, err := Checked(r.handle.Sender())
	if err != nil {
		return nil, err
	}
	return &Sender{runtime.Keep(handle)}, nil
}

// Send sends a response that others follow. It waits while the client has not read the earlier ones; its error is Cancelled when
// the client is gone.
func (s *Sender) Send(response *Response) error {
	sent, err := response.toHost()
	if err != nil {
		return err
	}
	return Done(s.handle.Send(sent, false))
}

// Respond sends the last response, or the only one.
func (s *Sender) Respond(response *Response) error {
	sent, err := response.toHost()
	if err != nil {
		return err
	}
	err = Done(s.handle.Send(sent, true))
	if err == nil {
		s.handle.Drop()
	}
	return err
}

// Fail ends the request with an error.
func (s *Sender) Fail(err error) {
	s.handle.Fail(errorToHost(err))
	s.handle.Drop()
}

// Finish ends the request without another response.
func (s *Sender) Finish() {
	s.handle.Finish()
	s.handle.Drop()
}

// Cancelled says whether the client is gone, or the request has ended in another way.
func (s *Sender) Cancelled() bool {
	return s.handle.Cancelled()
}
