// What a plugin is asked: the request, and its input tensors.

import { PluginError } from "./errors.js";
import { tensorsFromHost } from "./tensor.js";
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

  /// Milliseconds until the host ends the call. Ask in long loops, to answer with an error of your own in time.
  get remainingMs() {
    return this.#handle.remainingMs();
  }

  /// Whether the client is gone, so that nobody will read the answer.
  get cancelled() {
    return this.#handle.cancelled();
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
