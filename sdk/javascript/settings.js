// The plugin's own model, as configured. It does not change while a plugin lives, so read it once.

import * as host from "nereid:plugin/settings";

import { PluginError } from "./errors.js";
import { nameOf } from "./tensor.js";

/// The value under `key` in the `parameters` of `config.pbtxt`, as the type that `fallback` has; else `fallback`.
export function setting(key, fallback = null) {
  const value = host.get(key);
  if (value == null) {
    return fallback;
  }
  if (typeof fallback === "boolean") {
    return ["true", "1", "yes", "on"].includes(value.trim().toLowerCase());
  }
  if (typeof fallback !== "number") {
    return value;
  }
  const number = Number(value);
  if (Number.isNaN(number)) {
    throw new PluginError("internal", `parameter '${key}' of config.pbtxt is '${value}', expected a number: correct it there`);
  }
  return number;
}

/// All of the `parameters` of `config.pbtxt`.
export function settings() {
  return Object.fromEntries(host.entries());
}

/// The name of the model's instance that this guest works for, for example `digits_0_1`.
export function instanceName() {
  return host.instanceName();
}

/// Name, version, inputs and outputs of the model that the plugin serves.
export function model() {
  const info = host.model();
  const tensor = ({ name, dtype, dims, optional }) => ({ name, dataType: nameOf(dtype), dims: Array.from(dims, Number), optional });
  return {
    name: info.name,
    version: Number(info.version),
    maxBatchSize: info.maxBatchSize,
    decoupled: info.decoupled,
    inputs: info.inputs.map(tensor),
    outputs: info.outputs.map(tensor),
  };
}
