// Responses that do not come back from the function that was asked: many, or later.

import { asking } from "./errors.js";
import { errorToHost, responseToHost } from "./response.js";

/// Sends the responses of one request: `request.sender()`. May be kept for later batches, until the deadline of its request.
/// Whoever holds it owes the client its end; one that is forgotten is ended by the host at that deadline.
export class Sender {
  #handle;

  constructor(handle) {
    this.#handle = handle;
  }

  /// Sends a response that others follow. Waits while the client has not read the earlier ones; throws `cancelled` when the client
  /// is gone.
  send(answer) {
    const response = responseToHost(answer);
    asking(() => this.#handle.send(response, false));
  }

  /// Sends the last response, or the only one.
  respond(answer) {
    const response = responseToHost(answer);
    asking(() => this.#handle.send(response, true));
  }

  /// Ends the request with an error.
  fail(error) {
    this.#handle.fail(errorToHost(error));
  }

  /// Ends the request without another response.
  finish() {
    this.#handle.finish();
  }

  /// Whether the client is gone, or the request has ended in another way.
  get cancelled() {
    return this.#handle.cancelled();
  }
}
