// Package export_nereid_plugin_completion is where the bindings look for what a plugin knows of its configuration. The bindings
// themselves are made beside it when a plugin is built.
package export_nereid_plugin_completion

import (
	"nereid/internal/contract/nereid_plugin_completion"
	"nereid/internal/contract/nereid_plugin_types"
	wit "nereid/internal/wit/types"
)

// Complete says what the plugin knows, given what is written. Set by the package nereid.
var Complete func(
	written nereid_plugin_completion.Draft,
) wit.Result[nereid_plugin_completion.Draft, nereid_plugin_types.Error]
