//go:build !nereid_transform_plugin && !nereid_model_plugin

package nereid

// Checker is a Model that says when it cannot work. Only after ExportFullModel.
type Checker interface {
	// CheckReady says why the instance cannot do its work, if it cannot: the model is not ready then. Asked between two batches, when
	// somebody wants to know; must be quick (readiness_ms).
	CheckReady() error
}

// Drainer is a Model that has something to do before it goes. Only after ExportFullModel.
type Drainer interface {
	// Drain answers what is kept back, because no further request is routed here (drain_ms). Finalise follows when all requests have
	// ended.
	Drain()
}

// ConfigDraft is a configuration, as far as it is known.
type ConfigDraft struct {
	// MaxBatchSize is 0 where nothing is said of it, or where tensors have no batch dimension.
	MaxBatchSize    int
	Inputs, Outputs []TensorDraft
	// DynamicBatching says whether the server puts requests together to batches; false says nothing.
	DynamicBatching bool
	// Decoupled says whether a request may get any number of responses; nil says nothing.
	Decoupled *bool
}

// TensorDraft is an input or an output, as far as it is known. -1 in Dims stands for any extent, the batch dimension is not among them,
// and nil says nothing.
type TensorDraft struct {
	Name string
	// DataType is nil where nothing is said of it.
	DataType *DataType
	Dims     []int64
	Optional bool
}

// Input says of an input what it is.
func (d *ConfigDraft) Input(name string, dataType DataType, dims ...int64) *TensorDraft {
	return said(&d.Inputs, name, dataType, dims)
}

// Output says of an output what it is.
func (d *ConfigDraft) Output(name string, dataType DataType, dims ...int64) *TensorDraft {
	return said(&d.Outputs, name, dataType, dims)
}

func said(tensors *[]TensorDraft, name string, dataType DataType, dims []int64) *TensorDraft {
	index := 0
	for index < len(*tensors) && (*tensors)[index].Name != name {
		index++
	}
	if index == len(*tensors) {
		*tensors = append(*tensors, TensorDraft{Name: name})
	}
	tensor := &(*tensors)[index]
	tensor.DataType, tensor.Dims = &dataType, dims
	return tensor
}

// completer is what completes the configuration; nil when nothing does.
var completer func(draft *ConfigDraft) error

// ExportFullModel makes this program a plugin with the whole life of a model: a Model that may also be a Checker and a Drainer. Call it
// in init. What make does is done once per instance, as for ExportModel.
//
// Complete, which may be nil, says what the plugin knows of its configuration, so that config.pbtxt need not say it. The draft has what
// is written, which counts: a contradiction fails the load, and so does an error. No other model and no server can be asked.
func ExportFullModel[T Model](make func() (T, error), complete func(draft *ConfigDraft) error) {
	ExportModel(make)
	completer = complete
}
