// Requests to the servers that `plugin.toml` lists under `[grants] http`.
//
//     const answer = http.request("https://api.example.com/score", { json: { text }, headers: { authorization: `Bearer ${key}` } });
//     if (!answer.ok) throw new PluginError("unavailable", `the scorer said ${answer.status}`);
//     const { score } = answer.json();
//
// Redirects are answers like any other. While a request is under way the plugin's computing time stands.

import * as host from "nereid:plugin/http";

import { PluginError, asking } from "./errors.js";
import { decode, encode } from "./text.js";

/// What a server answered, whatever its status.
class Answer {
  constructor({ status, headers, body }) {
    this.status = status;
    this.headers = new Map(headers.map(({ name, value }) => [name, decode(value)]));
    this.body = body;
  }

  get ok() {
    return this.status >= 200 && this.status < 300;
  }

  text() {
    return decode(this.body);
  }

  json() {
    return JSON.parse(this.text());
  }
}

/// Sends a request and waits for the answer.
export function request(url, options) {
  return new Answer(asking(() => host.send(toHost(url, options))));
}

/// Sends several at the same time; an answer or an error for each, in their order.
export function requestAll(requests) {
  const answers = host.sendAll(requests.map(({ url, options }) => toHost(url, options)));
  return answers.map(({ tag, val }) => (tag === "ok" ? new Answer(val) : new PluginError(val.code, val.message)));
}

function toHost(url, { method, headers = {}, body, json, timeoutMs } = {}) {
  const lines = Object.entries(headers).map(([name, value]) => ({ name, value: encode(value) }));
  let bytes = typeof body === "string" ? encode(body) : body;
  if (json !== undefined) {
    bytes = encode(JSON.stringify(json));
    lines.push({ name: "content-type", value: encode("application/json") });
  }
  return {
    method: method ?? (bytes === undefined ? "GET" : "POST"),
    url,
    headers: lines,
    body: bytes ?? new Uint8Array(0),
    timeoutMs,
  };
}
