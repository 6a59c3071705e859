//go:build !nereid_transform_plugin

package nereid

// Model is a plugin that sees whole batches. One instance executes one batch at a time.
//
// It may have more methods: Executor's, to compute over the whole batch, and Finaliser's; after ExportFullModel also those of Checker and
// Drainer.
type Model interface {
	// Answer answers one request of a batch with a *Response, Deferred, or a Reschedule. Its error, or panic, is the answer to this
	// request alone.
	Answer(request *Request) (Outcome, error)
}

// Executor is a Model that computes over whole batches: Execute is called instead of Answer.
type Executor interface {
	// Execute gives an outcome for each request, in their order; Failure makes one of an error.
	Execute(batch []*Request) []Outcome
}

// Finaliser is a Model that puts things in order before the instance is given up, once all requests have ended.
type Finaliser interface {
	Finalise()
}

// Outcome is what comes of one request of a batch: a *Response, Deferred, a Reschedule, or a Failure.
type Outcome interface {
	outcome()
}

func (*Response) outcome() {}

// Deferred says that the answer goes through the request's sender, before the batch is done or in a later one. The sender must have
// been taken.
var Deferred Outcome = deferred{}

type deferred struct{}

func (deferred) outcome() {}

// Reschedule says that the request is executed again in a later batch, with these outputs as its state: for models with
// sequence_batching { iterative_sequence: true }.
type Reschedule Tensors

func (Reschedule) outcome() {}

// Failure is the error of one request of a batch, for Execute.
func Failure(err error) Outcome {
	return failure{err}
}

type failure struct {
	err error
}

func (failure) outcome() {}

// modelMaker makes the plugin; nil until ExportModel was called.
var modelMaker func() (Model, error)

// ExportModel makes this program a plugin of whole batches. Call it in init. What make does is done once per instance, when it
// starts: settings are read and tables built there, and an error fails the load with its text.
func ExportModel[T Model](make func() (T, error)) {
	if modelMaker != nil {
		panic("nereid: a component is one plugin, and ExportModel was called twice")
	}
	modelMaker = func() (Model, error) { return make() }
}
