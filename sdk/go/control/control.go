// Package control is the model repository, for plugins that are granted some of its models under model_control in [grants].
package control

import (
	"nereid"
	host "nereid/internal/contract/nereid_plugin_control"
	wit "nereid/internal/wit/types"
)

// ModelEntry is one version of a model. State is "ready", "unavailable", "loading" or "unloading"; Version is 0 and State "" for a
// model that was never loaded. Reason is why it is in this state.
type ModelEntry struct {
	Name    string
	Version uint64
	State   string
	Reason  string
}

var states = map[host.ModelState]string{
	host.ModelStateReady:       "ready",
	host.ModelStateUnavailable: "unavailable",
	host.ModelStateLoading:     "loading",
	host.ModelStateUnloading:   "unloading",
}

// Index is every version of the models that the plugin may control.
func Index() ([]ModelEntry, error) {
	found, err := nereid.Checked(host.Index())
	entries := make([]ModelEntry, len(found))
	for index, entry := range found {
		version, _ := entry.Version.Get()
		entries[index] = ModelEntry{Name: entry.Name, Version: version, Reason: entry.Reason}
		if state, known := entry.State.Get(); known {
			entries[index].State = states[state]
		}
	}
	return entries, err
}

// Load loads the model, or loads it again, and returns when it is ready. A config that is not "" is a whole configuration as JSON,
// instead of that of the repository.
func Load(model, config string) error {
	given := wit.None[string]()
	if config != "" {
		given = wit.Some(config)
	}
	return nereid.Done(host.Load(model, given))
}

// Unload starts to unload the model; what it was asked is still answered. With dependents, the models that only an ensemble needs go
// with it.
func Unload(model string, dependents bool) error {
	return nereid.Done(host.Unload(model, dependents))
}
