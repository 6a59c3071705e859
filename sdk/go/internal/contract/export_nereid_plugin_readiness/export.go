// Package export_nereid_plugin_readiness is where the bindings look for what says whether an instance can work. The bindings themselves
// are made beside it when a plugin is built.
package export_nereid_plugin_readiness

import (
	"nereid/internal/contract/nereid_plugin_types"
	wit "nereid/internal/wit/types"
)

// Check says why the instance cannot work, if it cannot. Set by the package nereid.
var Check func() wit.Result[wit.Unit, nereid_plugin_types.Error]
