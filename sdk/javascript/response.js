// Answers: of a plugin to its caller, and of other models to the plugin.

import { PluginError, describe } from "./errors.js";
import * as log from "./log.js";
import { tensorsFromHost, tensorsToHost } from "./tensor.js";
import { parametersFromHost, parametersToHost } from "./values.js";

/// What a model answered.
export class Response {
  constructor(response) {
    this.outputs = Object.fromEntries(tensorsFromHost(response.outputs));
    this.parameters = parametersFromHost(response.parameters);
  }

  /// The output called `name`.
  output(name) {
    if (!(name in this.outputs)) {
      const present = Object.keys(this.outputs).map((key) => `'${key}'`).join(", ") || "none";
      throw new PluginError("internal", `output '${name}' is missing; there are: ${present}`);
    }
    return this.outputs[name];
  }
}

/// Of an object of tensors, or of `{ outputs, parameters }`.
export function responseToHost(answer) {
  if (answer === null || typeof answer !== "object") {
    throw new TypeError(`the plugin returned ${answer === null ? "null" : typeof answer}, expected an object of tensors`);
  }
  const isWhole = typeof answer.outputs === "object" && typeof answer.parameters === "object";
  const { outputs, parameters } = isWhole ? answer : { outputs: answer, parameters: {} };
  return { outputs: tensorsToHost(outputs), parameters: parametersToHost(parameters) };
}

/// Of whatever was thrown. The stack of what is no `PluginError` goes to the server's log.
export function errorToHost(thrown) {
  if (thrown instanceof PluginError) {
    return { code: thrown.code, message: thrown.message };
  }
  const text = describe(thrown);
  log.error(thrown instanceof Error ? `${text}\n${thrown.stack ?? ""}` : text);
  return { code: "internal", message: text };
}
