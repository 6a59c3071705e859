// Lines for the server's log: `log.info("3 images")`. The host adds the names of plugin and model, and limits what a call may
// write.

import * as host from "nereid:plugin/logging";

/// Whether lines of this level (`trace`, `debug`, `info`, `warn`, `error`) are kept: worth asking before an expensive line is
/// made.
export function enabled(level) {
  return host.enabled(level);
}

/// Writes the lines of `message`.
export function write(level, message) {
  for (const line of String(message).trimEnd().split("\n")) {
    host.log(level, line);
  }
}

export const trace = (message) => write("trace", message);
export const debug = (message) => write("debug", message);
export const info = (message) => write("info", message);
export const warn = (message) => write("warn", message);
export const error = (message) => write("error", message);
