// What a plugin is asked: the request, and its input tensors.

import { PluginError, asking } from "./errors.js";
import { Sender } from "./sender.js";
import { tensorsFromHost } from "./tensor.js";
import { spanOf } from "./trace.js";
import { parametersFromHost } from "./values.js";

/// One request, for the length of the call.
export class Request {
  #handle;

  constructor(handle) {
    this.#handle = handle;
  }

  /// The client's own name for the request; empty when it gave none.
  get id() {
    return this.#handle.id();
  }

  /// The input tensors. `run` of a one-function plugin is given them besides; in `batches` this is where they are.
  get inputs() {
    return new Inputs(asking(() => this.#handle.inputs()));
  }

  /// The first dimension of the tensors where the model batches, otherwise 1.
  get rows() {
    return Number(this.#handle.rows());
  }

  /// The request's parameters, without those that the protocol reserves.
  get parameters() {
    return parametersFromHost(this.#handle.parameters());
  }

  /// The names of the outputs that the client wants; empty when it wants all.
  get wantedOutputs() {
    return this.#handle.wantedOutputs();
  }

  /// Whether the client wants the output called `name`: worth asking before an expensive one is computed.
  wants(name) {
    return this.#handle.wants(name);
  }

  /// Where the request stands in its sequence: `{ id, start, end }`, the id a number or a string; `null` when it belongs to none.
  get sequence() {
    const found = this.#handle.sequence();
    return found == null ? null : { id: found.id.val, start: found.start, end: found.end };
  }

  /// The priority that the client gave: 1 is the most urgent, 0 the model's default.
  get priority() {
    return Number(this.#handle.priority());
  }

  /// The tenant on whose account the request goes; `null` when on nobody's.
  get tenant() {
    return this.#handle.tenant() ?? null;
  }

  /// Milliseconds until the host ends the call. Ask in long loops, to answer with an error of your own in time.
  get remainingMs() {
    return this.#handle.remainingMs();
  }

  /// Whether the client is gone, so that nobody will read the answer.
  get cancelled() {
    return this.#handle.cancelled();
  }

  /// Begins a span of this request, of a batch for example; see `trace.js`.
  span(name, attributes = {}) {
    return spanOf(this.#handle, name, attributes);
  }

  /// Takes the request's sender, once: whoever holds it owes the client its end. Only in `batches`, whose outcome must then be
  /// `DEFERRED` or a `Reschedule`.
  sender() {
    return new Sender(asking(() => this.#handle.sender()));
  }
}

/// The tensors that came with the request, under the names in `config.pbtxt`; a `Map` whose `get` throws for what is not
/// there. Ask `has` for optional ones.
export class Inputs extends Map {
  constructor(named) {
    super(tensorsFromHost(named));
  }

  get(name) {
    if (!this.has(name)) {
      const present = [...this.keys()].map((key) => `'${key}'`).join(", ") || "none";
      throw new PluginError("invalid-argument", `input '${name}' is missing; there are: ${present}`);
    }
    return super.get(name);
  }
}

export function sequenceToHost(sequence) {
  if (sequence === null) {
    return null;
  }
  const { id, start = false, end = false } = sequence;
  return { id: { tag: typeof id === "string" ? "text" : "number", val: id }, start, end };
}
