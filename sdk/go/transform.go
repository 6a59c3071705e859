//go:build !nereid_model_plugin && !nereid_full_model_plugin

package nereid

// Transform is a plugin that answers one request at a time.
type Transform interface {
	// Run answers a request. Its error, or panic, is the answer to this request alone.
	Run(request *Request, inputs Tensors) (*Response, error)
}

// transformMaker makes the plugin; nil until ExportTransform was called.
var transformMaker func() (Transform, error)

// ExportTransform makes this program a plugin that is a function. Call it in init. What make does is done once per instance, before
// its first request: settings are read and tables built there. What the plugin keeps is seen by later calls to the same instance
// only.
func ExportTransform[T Transform](make func() (T, error)) {
	if transformMaker != nil {
		panic("nereid: a component is one plugin, and ExportTransform was called twice")
	}
	transformMaker = func() (Transform, error) { return make() }
}
