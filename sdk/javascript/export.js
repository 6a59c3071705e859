// How functions and classes become plugins: `plugin.js` has `export const transform = plugin(…)`, `export const model = batches(…)`
// or what `full_model.js` says, and the names that it exports decide the component's world.
//
// The host calls one instance for one request, or one batch, at a time. What is thrown is the answer to its request alone: a
// `PluginError` with its kind, anything else as `internal` with its text and place, and with its stack in the server's log.

import { Inputs, Request } from "./request.js";
import { errorToHost, responseToHost } from "./response.js";
import { tensorsToHost } from "./tensor.js";

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
        return responseToHost(instance.run(new Request(request), new Inputs(named)));
      } catch (thrown) {
        throw errorToHost(thrown);
      }
    },
  };
}

/// The answer goes through the request's sender, before `execute` returns or in a later call of it.
export const DEFERRED = Symbol("DEFERRED");

/// The request is executed again in a later batch, with these outputs as its state: for models with
/// `sequence_batching { iterative_sequence: true }`.
export class Reschedule {
  constructor(states) {
    this.states = states;
  }
}

/// The plugin that sees whole batches. `make` is a class, of which each instance makes one when it starts (what its constructor
/// throws fails the load), or the function `answer` alone.
///
/// It has `answer(request)`, called for each request of a batch, or `execute(requests)`, which gives for each, in their order, what
/// `answer` gives: an object of tensors or `{ outputs, parameters }`, an `Error` (of this request alone), `DEFERRED`, or a
/// `Reschedule`. `finalise()`, where there is one, is called before the instance is given up, once all requests have ended.
export function batches(make) {
  return batchesOf(make).model;
}

/// The same, and the way to the instance, which is null before the model is initialised.
export function batchesOf(make) {
  const isClass = typeof (make.prototype?.answer ?? make.prototype?.execute) === "function";
  let instance = null;
  const model = {
    initialise() {
      try {
        instance = isClass ? new make() : { answer: make };
      } catch (thrown) {
        throw errorToHost(thrown);
      }
    },
    execute(batch) {
      return outcomesOf(instance, batch.map((handle) => new Request(handle))).map(outcomeToHost);
    },
    finalise() {
      instance?.finalise?.();
    },
  };
  return { model, instance: () => instance };
}

function outcomesOf(instance, requests) {
  if (instance.execute === undefined) {
    return requests.map((request) => caught(() => instance.answer(request)));
  }
  const outcomes = caught(() => [...instance.execute(requests)]);
  return Array.isArray(outcomes) ? outcomes : requests.map(() => outcomes);
}

function caught(action) {
  try {
    return action();
  } catch (thrown) {
    return thrown instanceof Error ? thrown : new Error(`thrown: ${String(thrown)}`);
  }
}

function outcomeToHost(outcome) {
  try {
    if (outcome instanceof Error) {
      return { tag: "failure", val: errorToHost(outcome) };
    }
    if (outcome === DEFERRED) {
      return { tag: "deferred" };
    }
    if (outcome instanceof Reschedule) {
      return { tag: "reschedule", val: tensorsToHost(outcome.states) };
    }
    return { tag: "answer", val: responseToHost(outcome) };
  } catch (unfit) {
    return { tag: "failure", val: errorToHost(unfit) };
  }
}
