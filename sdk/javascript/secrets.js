// Secrets that the server's operator keeps, by name. `plugin.toml` lists those that the plugin wants under `[grants] secrets`.

import * as host from "nereid:plugin/secrets";

import { asking } from "./errors.js";
import { decode } from "./text.js";

/// The secret called `name`, as it was when the plugin was loaded: a `Uint8Array`.
export function secret(name) {
  return asking(() => host.get(name));
}

/// The same as a string; it must be UTF-8.
export function secretText(name) {
  return decode(secret(name));
}
