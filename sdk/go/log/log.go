// Package log writes lines to the server's log: log.Infof("%d images", 3). The host adds the names of plugin and model, and limits
// what a call may write. What a plugin prints, and what Go's own log package writes, is logged too, as info.
package log

import (
	"fmt"
	"strings"

	"nereid/internal/contract/nereid_plugin_logging"
)

// Level says who must act.
type Level uint8

// The levels.
const (
	// Trace is for nobody: every step.
	Trace Level = iota
	// Debug is for those who look for a fault.
	Debug
	// Info is worth knowing.
	Info
	// Warn is for somebody, at some time.
	Warn
	// Error is for somebody, now.
	Error
)

// Enabled says whether lines of a level are kept: worth asking before an expensive line is made.
func Enabled(level Level) bool {
	return nereid_plugin_logging.Enabled(uint8(level))
}

// Write writes the lines of a text.
func Write(level Level, text string) {
	for line := range strings.Lines(text) {
		nereid_plugin_logging.Log(uint8(level), strings.TrimRight(line, "\r\n"))
	}
}

// Tracef writes at the level Trace.
func Tracef(format string, arguments ...any) { Write(Trace, fmt.Sprintf(format, arguments...)) }

// Debugf writes at the level Debug.
func Debugf(format string, arguments ...any) { Write(Debug, fmt.Sprintf(format, arguments...)) }

// Infof writes at the level Info.
func Infof(format string, arguments ...any) { Write(Info, fmt.Sprintf(format, arguments...)) }

// Warnf writes at the level Warn.
func Warnf(format string, arguments ...any) { Write(Warn, fmt.Sprintf(format, arguments...)) }

// Errorf writes at the level Error.
func Errorf(format string, arguments ...any) { Write(Error, fmt.Sprintf(format, arguments...)) }
