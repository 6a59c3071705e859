// The model repository, for plugins that are granted some of its models under `[grants] model_control`.
//
//     control.load("digits_large");

import * as host from "nereid:plugin/control";

import { asking } from "./errors.js";

/// Every version of the models that the plugin may control: `{ name, version, state, reason }`. `state` is `ready`,
/// `unavailable`, `loading` or `unloading`; it and `version` are `null` for a model that was never loaded.
export function index() {
  return asking(() => host.index()).map(({ name, version, state, reason }) => ({
    name,
    version: version == null ? null : Number(version),
    state: state ?? null,
    reason,
  }));
}

/// Loads the model, or loads it again, and returns when it is ready. `config` is a whole configuration (an object, or its JSON),
/// instead of that of the repository.
export function load(model, config = null) {
  const text = config === null || typeof config === "string" ? config : JSON.stringify(config);
  asking(() => host.load(model, text));
}

/// Starts to unload the model; what it was asked is still answered. With `dependents`, the models that only an ensemble needs go
/// with it.
export function unload(model, { dependents = false } = {}) {
  asking(() => host.unload(model, dependents));
}
