// Small values that outlive the instance: shared by all instances and versions of the plugin's model, kept over swaps, gone when
// the server ends or the model is unloaded. Bytes and keys of one model are limited together.
//
//     state.add("requests", 1);
//
// Every change gives a value another version, so that `swap` writes only while nobody else did. A value is a `Uint8Array`, or a
// string that is kept as UTF-8.

import * as host from "nereid:plugin/state";

import { asking } from "./errors.js";
import { decode, encode } from "./text.js";

/// The value under `key` as `{ value, version, text() }`, or `null`.
export function get(key) {
  const found = asking(() => host.get(key));
  return found == null ? null : { value: found.value, version: found.version, text: () => decode(found.value) };
}

/// Writes whatever is there, and gives the version. The value is forgotten after `lifetimeMs` milliseconds, or never.
export function set(key, value, { lifetimeMs = null } = {}) {
  return asking(() => host.set(key, bytesOf(value), milliseconds(lifetimeMs)));
}

/// Writes if the version there is still `expected` (`null`: if there is no value). Gives the new version, or `null` when somebody
/// else was quicker: then `get` again.
export function swap(key, value, expected, { lifetimeMs = null } = {}) {
  return asking(() => host.swap(key, bytesOf(value), expected, milliseconds(lifetimeMs))) ?? null;
}

/// Adds to the whole number under `key`, 0 when there is none, and gives the sum.
export function add(key, amount) {
  return asking(() => host.add(key, amount));
}

/// Forgets `key`, and says whether there was a value. (`delete` is a word of the language.)
export function remove(key) {
  return asking(() => host["delete"](key));
}

/// The keys that begin with `prefix`, in order, at most `limit` of them.
export function keys(prefix = "", limit = 1000) {
  return asking(() => host.keys(prefix, limit));
}

/// The engine takes whole numbers alone, and ends the guest over all else.
function milliseconds(lifetime) {
  return lifetime === null ? null : Math.round(Number(lifetime));
}

function bytesOf(value) {
  return typeof value === "string" ? encode(value) : value;
}
