// Package export_nereid_plugin_draining is where the bindings look for what is done before an instance goes. The bindings themselves
// are made beside it when a plugin is built.
package export_nereid_plugin_draining

// Drain answers what is kept back. Set by the package nereid.
var Drain func()
