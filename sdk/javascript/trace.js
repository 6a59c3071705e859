// Steps of the plugin's own in the trace of a request: in the collector's spans, and in trace files.
//
//     trace.within("decode", { images: 3 }, (span) => {
//       …
//       span.event("half of them", { rows: 2 });
//     });
//
// A request that is not traced has no spans: beginning one costs one call of the host, and everything else nothing. `request.span(…)`
// is one of that request of a batch.

import * as host from "nereid:plugin/tracing";

import { parametersToHost, valueToHost } from "./values.js";

/// A step that takes time. It ends with `end`, or with the call.
export class Span {
  #handle;

  constructor(handle, attributes = {}) {
    this.#handle = handle ?? null;
    for (const [name, value] of Object.entries(attributes)) {
      this.set(name, value);
    }
  }

  /// Whether it is recorded: worth asking before what it costs to find an attribute.
  get recorded() {
    return this.#handle !== null;
  }

  /// Begins a span within this one.
  child(name, attributes = {}) {
    return new Span(this.#handle?.child(name), attributes);
  }

  /// Adds an attribute: a boolean, number or string. Of two of one name the later counts.
  set(name, value) {
    this.#handle?.set(name, valueToHost(name, value));
  }

  /// Notes that something happened now.
  event(name, attributes = {}) {
    this.#handle?.event(name, parametersToHost(attributes));
  }

  /// Ends it; what happens after counts no more.
  end() {
    this.#handle?.end();
    this.#handle = null;
  }
}

/// Begins a span of the request under way; of a batch, of the first request that is traced.
export function span(name, attributes = {}) {
  return new Span(host.Span.begin(name), attributes);
}

/// Does `action(span)` within a span.
export function within(name, attributes, action) {
  const begun = span(name, attributes);
  try {
    return action(begun);
  } finally {
    begun.end();
  }
}

/// Begins a span of one request; `request.span` is this.
export function spanOf(request, name, attributes) {
  return new Span(host.Span.beginFor(request, name), attributes);
}
