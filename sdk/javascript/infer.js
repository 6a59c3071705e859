// Calls to the other models of the server, through the same queues, batchers and limits as a client's requests.
//
//     const answer = infer("digits_cnn", { image: x }, { outputs: ["logits"] });
//     const logits = answer.output("logits").elements();
//
// While a plugin waits, no thread of the server does, and the wait does not count as the plugin's computing time. It does
// count against the deadline of the call that the plugin answers.

import * as host from "nereid:plugin/inference";

import { asking } from "./errors.js";
import { sequenceToHost } from "./request.js";
import { Response } from "./response.js";
import { tensorsToHost } from "./tensor.js";
import { parametersToHost } from "./values.js";

/// A call under way. `close` cancels it; so does the end of the plugin's own call.
class Pending {
  #handle;

  constructor(handle) {
    this.#handle = handle;
  }

  /// Waits for the next response. `null` after the last one: most models give one, decoupled models any number.
  receive() {
    const response = asking(() => this.#handle.receive());
    return response == null ? null : new Response(response);
  }

  /// Whether `receive` would return at once.
  get ready() {
    return this.#handle.ready();
  }

  /// Gives the call up: `receive` gives `null` from now on.
  cancel() {
    this.#handle.cancel();
  }

  /// Gives the call up, and the handle with it.
  close() {
    this.#handle[Symbol.dispose]();
  }

  /// Every response, up to the last.
  *[Symbol.iterator]() {
    for (let response = this.receive(); response !== null; response = this.receive()) {
      yield response;
    }
  }

  /// The first of `calls` that has something to receive.
  static first(calls, timeoutMs) {
    return asking(() => host.waitAny(calls.map((call) => call.#handle), timeoutMs));
  }
}

/// Calls a model that gives exactly one response, and waits for it. Options as of `submit`.
export function infer(model, inputs, options = {}) {
  return new Response(asking(() => host.infer(callOf(model, inputs, options))));
}

/// Starts a call without waiting, so that several can work at the same time. Options: `outputs` (names of those wanted),
/// `parameters`, `version`, `timeoutMs`, `id`, `priority` (1 is the most urgent), `sequence` (`{ id, start, end }`, of the
/// model that is called). Id and priority are those of the plugin's own request where they are not given; its sequence is not
/// passed on by itself.
export function submit(model, inputs, options = {}) {
  return new Pending(asking(() => host.submit(callOf(model, inputs, options))));
}

/// Waits until one of the calls has something to receive, and gives its index; `null` when the time ran out first.
export function waitAny(calls, timeoutMs = null) {
  return Pending.first(calls, timeoutMs) ?? null;
}

/// Whether the highest version of `model` that is ready, or the given one, would accept a call now.
export function modelReady(model, version = null) {
  return host.modelReady(model, version);
}

function callOf(
  model,
  inputs,
  { outputs = [], parameters = {}, version = null, timeoutMs = null, id = null, priority = null, sequence = null },
) {
  return {
    model,
    version,
    inputs: tensorsToHost(inputs),
    wantedOutputs: [...outputs],
    parameters: parametersToHost(parameters),
    timeoutMs,
    id,
    priority,
    sequence: sequenceToHost(sequence),
  };
}
