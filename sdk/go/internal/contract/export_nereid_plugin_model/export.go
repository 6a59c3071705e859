// Package export_nereid_plugin_model is where the bindings look for what a plugin of the world model-plugin exports. The bindings
// themselves are made beside it when a plugin is built.
package export_nereid_plugin_model

import (
	"nereid/internal/contract/nereid_plugin_model"
	"nereid/internal/contract/nereid_plugin_serving"
	"nereid/internal/contract/nereid_plugin_types"
	wit "nereid/internal/wit/types"
)

// Set by the package nereid.
var (
	// Initialise is called once, before the first batch.
	Initialise func() wit.Result[wit.Unit, nereid_plugin_types.Error]
	// Execute answers the requests of one batch.
	Execute func(batch []*nereid_plugin_serving.Request) []nereid_plugin_model.Outcome
	// Finalise is called before the guest is given up.
	Finalise func()
)
