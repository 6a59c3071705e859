// Write a Nereid plugin in JavaScript: a function or an object, typed arrays, calls to other models.
//
//     import { Tensor, plugin } from "nereid";
//
//     export const transform = plugin((request, inputs) => {
//       const x = inputs.get("X");
//       return { Y: Tensor.from("FP32", x.shape, x.elements().map((value) => 2 * value)) };
//     });
//
// `batches` makes one that sees whole batches, sends many responses, answers later, or has a request executed again; `fullModel` one that
// also knows its configuration, says when it cannot work, and has something to do before it goes.
//
// Cost: handing a tensor on is free whatever its size; reading or writing one copies it once, and a loop over its elements is
// a hundred times slower than in Rust. Whatever is thrown is the error of one request, with its place. Refused: keeping a
// tensor for the next request, because the host closes all of them when the call ends.

import "./console.js";

export * as control from "./control.js";
export { PluginError } from "./errors.js";
export { DEFERRED, Reschedule, batches, plugin } from "./export.js";
export * as files from "./files.js";
export { fullModel } from "./full_model.js";
export * as http from "./http.js";
export { infer, modelReady, submit, waitAny } from "./infer.js";
export * as log from "./log.js";
export * as metrics from "./metrics.js";
export * as operations from "./operations.js";
export { secret, secretText } from "./secrets.js";
export { instanceName, model, setting, settings } from "./settings.js";
export * as state from "./state.js";
export { Tensor } from "./tensor.js";
export * as tokenizers from "./tokenizers.js";
export * as trace from "./trace.js";
