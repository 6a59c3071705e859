package nereid

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"nereid/internal/contract/nereid_plugin_logging"
)

// framesMax is how far the place of an accident is looked for; deeper ones are told without their place.
const framesMax = 64

// guarded calls, and makes of a panic the error that the request is answered with: its text and its place. The stack is in the
// server's log.
func guarded(call func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			text := fmt.Sprintf("panic: %v", cause)
			writeLines(text + "\n" + string(debug.Stack()))
			err = &Error{Internal, text + place()}
		}
	}()
	return call()
}

// place is " (plugin.go:12 in main.run)": the innermost function of the plugin's own module.
func place() string {
	counters := make([]uintptr, framesMax)
	frames := runtime.CallersFrames(counters[:runtime.Callers(2, counters)])
	for {
		frame, more := frames.Next()
		if isOwn(frame.Function) {
			return fmt.Sprintf(" (%s:%d in %s)", frame.File[strings.LastIndexByte(frame.File, '/')+1:], frame.Line, frame.Function)
		}
		if !more {
			return ""
		}
	}
}

func isOwn(function string) bool {
	if strings.HasPrefix(function, "main.") {
		return true
	}
	about, known := debug.ReadBuildInfo()
	return known && strings.HasPrefix(function, about.Main.Path+"/")
}

func writeLines(text string) {
	for line := range strings.Lines(text) {
		nereid_plugin_logging.Log(nereid_plugin_logging.LevelError, strings.TrimRight(line, "\n"))
	}
}
