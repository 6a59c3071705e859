//go:build nereid_transform_plugin

package nereid

import (
	"nereid/internal/contract/export_nereid_plugin_transform"
	"nereid/internal/contract/nereid_plugin_serving"
	"nereid/internal/contract/nereid_plugin_tensors"
	"nereid/internal/contract/nereid_plugin_types"
	_ "nereid/internal/contract/wit_exports" // what the host calls
	"nereid/internal/wit/runtime"
	wit "nereid/internal/wit/types"
)

// transform is the plugin, once it was made.
var transform Transform

func init() {
	runtime.Started()
	export_nereid_plugin_transform.Run = run
}

// run is what the host calls in the world transform-plugin.
func run(
	request *nereid_plugin_serving.Request, inputs []nereid_plugin_tensors.Named,
) wit.Result[nereid_plugin_serving.Response, nereid_plugin_types.Error] {
	defer runtime.EndCall()
	var answer nereid_plugin_serving.Response
	err := guarded(func() error {
		response, err := answered(&Request{request}, tensorsOf(inputs))
		if err != nil {
			return err
		}
		if answer, err = response.toHost(); err == nil {
			hand(answer.Outputs)
		}
		return err
	})
	if err != nil {
		return wit.Err[nereid_plugin_serving.Response](errorToHost(err))
	}
	return wit.Ok[nereid_plugin_serving.Response, nereid_plugin_types.Error](answer)
}

func answered(request *Request, inputs Tensors) (*Response, error) {
	if transform == nil {
		if transformMaker == nil {
			return nil, Errorf(Internal, "the plugin exports nothing: call nereid.ExportTransform in init")
		}
		made, err := transformMaker()
		if err != nil {
			return nil, err
		}
		transform = made
	}
	return transform.Run(request, inputs)
}
