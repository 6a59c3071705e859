// Metrics of the plugin's own, on the server's metrics page. Open them once, in the constructor, and keep them.
//
//     this.images = new metrics.Counter("images_total", "Images seen", { kind: "photograph" });
//     this.images.add(3);
//
// The host adds the label `model`. Names are Prometheus names without the prefixes `nv_` and `nereid_`; how many label sets a
// model may have is limited. Two that are opened under one name and labels are the same.

import * as host from "nereid:plugin/metrics";

import { asking } from "./errors.js";

/// A number that only grows.
export class Counter {
  #handle;

  constructor(name, description, labels = {}) {
    this.#handle = asking(() => host.Counter.open(name, description, labelsToHost(labels)));
  }

  /// Adds `amount`, which must not be negative.
  add(amount = 1) {
    asking(() => this.#handle.add(amount));
  }

  /// The number now.
  get value() {
    return this.#handle.value();
  }
}

/// A number that goes up and down.
export class Gauge {
  #handle;

  constructor(name, description, labels = {}) {
    this.#handle = asking(() => host.Gauge.open(name, description, labelsToHost(labels)));
  }

  /// Replaces the number.
  set(value) {
    this.#handle.set(value);
  }

  /// Adds `amount`, which may be negative.
  add(amount) {
    this.#handle.add(amount);
  }

  /// The number now.
  get value() {
    return this.#handle.value();
  }
}

/// Observations, counted in buckets whose upper bounds are `bounds`, in growing order.
export class Histogram {
  #handle;

  constructor(name, description, bounds, labels = {}) {
    this.#handle = asking(() => host.Histogram.open(name, description, labelsToHost(labels), [...bounds]));
  }

  /// Counts an observation.
  observe(value) {
    this.#handle.observe(value);
  }
}

function labelsToHost(labels) {
  return Object.entries(labels).map(([name, value]) => ({ name, value: String(value) }));
}
