package nereid

import "nereid/internal/contract/nereid_plugin_serving"

// Response is one answer: of a plugin to its caller, or of another model to the plugin. The tensors of one that is sent are given
// away.
type Response struct {
	Outputs    Tensors
	Parameters Parameters
}

// Output is the output under a name. The error, where there is none, says which there are.
func (r *Response) Output(name string) (*Tensor, error) {
	if tensor, found := r.Outputs[name]; found {
		return tensor, nil
	}
	return nil, Errorf(Internal, "output '%s' is missing; there are: %s", name, r.Outputs.names())
}

// Close gives the tensors back before the call ends: for loops that see more than the host keeps at a time.
func (r *Response) Close() {
	for _, tensor := range r.Outputs {
		tensor.Close()
	}
}

func responseOf(found nereid_plugin_serving.Response) *Response {
	return &Response{tensorsOf(found.Outputs), parametersOf(found.Parameters)}
}

func (r *Response) toHost() (nereid_plugin_serving.Response, error) {
	if r == nil {
		return nereid_plugin_serving.Response{}, Errorf(Internal, "the plugin returned neither a response nor an error")
	}
	outputs, err := r.Outputs.named()
	if err != nil {
		return nereid_plugin_serving.Response{}, err
	}
	parameters, err := r.Parameters.toHost()
	return nereid_plugin_serving.Response{Outputs: outputs, Parameters: parameters}, err
}
