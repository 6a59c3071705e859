// Package export_nereid_plugin_transform is where the bindings look for what a plugin of the world transform-plugin exports. The
// bindings themselves are made beside it when a plugin is built.
package export_nereid_plugin_transform

import (
	"nereid/internal/contract/nereid_plugin_serving"
	"nereid/internal/contract/nereid_plugin_tensors"
	"nereid/internal/contract/nereid_plugin_types"
	wit "nereid/internal/wit/types"
)

// Run answers a request. Set by the package nereid.
var Run func(
	request *nereid_plugin_serving.Request, inputs []nereid_plugin_tensors.Named,
) wit.Result[nereid_plugin_serving.Response, nereid_plugin_types.Error]
