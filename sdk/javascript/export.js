// How a function or an object becomes a plugin: `export const transform = plugin(…)` in `plugin.js`.
//
// The host calls one instance for one request at a time. What is thrown is the answer to its request alone: a `PluginError`
// with its kind, anything else as `internal` with its text and place, and with its stack in the server's log.

import { PluginError, describe } from "./errors.js";
import * as log from "./log.js";
import { Inputs, Request } from "./request.js";
import { tensorsToHost } from "./tensor.js";
import { parametersToHost } from "./values.js";

/// The one-function plugin. `make` is the function `(request, inputs) => outputs`, or a class with a method `run` of that
/// form, of which each instance makes one at its first request: read settings and build tables in its constructor.
///
/// Answer with an object of tensors, or with `{ outputs, parameters }` where there are parameters.
export function plugin(make) {
  const isClass = typeof make.prototype?.run === "function";
  let instance = isClass ? null : { run: make };
  return {
    run(request, named) {
      try {
        instance ??= new make();
        return toHost(instance.run(new Request(request), new Inputs(named)));
      } catch (thrown) {
        throw refusal(thrown);
      }
    },
  };
}

function toHost(answer) {
  if (answer === null || typeof answer !== "object") {
    throw new TypeError(`the plugin returned ${answer === null ? "null" : typeof answer}, expected an object of tensors`);
  }
  const isWhole = typeof answer.outputs === "object" && typeof answer.parameters === "object";
  const { outputs, parameters } = isWhole ? answer : { outputs: answer, parameters: {} };
  return { outputs: tensorsToHost(outputs), parameters: parametersToHost(parameters) };
}

function refusal(thrown) {
  if (thrown instanceof PluginError) {
    return { code: thrown.code, message: thrown.message };
  }
  const text = describe(thrown);
  log.error(thrown instanceof Error ? `${text}\n${thrown.stack ?? ""}` : text);
  return { code: "internal", message: text };
}
