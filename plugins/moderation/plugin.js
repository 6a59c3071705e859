// Texts judged by a service elsewhere: a step in front of a model that costs more than a question.
//
// Input `text`: BYTES `[n, 1]`. Outputs `flagged`: BOOL `[n, 1]`, `score`: FP32 `[n, 1]`, the highest of all categories. The answer's
// parameter `asked` says how many texts the service was sent; the others were remembered.
//
// Settings: `url`; `key`, the name of a granted secret that goes along as a bearer token (none without); `requests_per_minute` (60) and
// `burst` (10), over all instances of the model; `remember_seconds` (600); `timeout_ms` (2000). One request of a client is at most one of the
// service. When the allowance is used up, or the service asks for a pause, requests are refused at once, with how long to wait.

import { PluginError, Tensor, http, log, metrics, plugin, secretText, setting, state } from "nereid";

import { pause, retryAfterMs, take } from "./allowance.js";
import { Malformed, verdicts } from "./answer.js";

const ALLOWANCE = "allowance";

/// Longer texts are not remembered: the key is the text itself, so that no two share a verdict.
const REMEMBERED_BYTES_MAX = 200;

/// How often another instance may be quicker before a request is refused.
const TRIES_MAX = 20;

/// A pause that the service asks for without saying how long.
const PAUSE_MS = 5000;

class Moderation {
  constructor() {
    this.url = setting("url");
    if (this.url === null) {
      throw new PluginError("internal", "config.pbtxt has no parameter 'url': name the service there, and its host in plugin.toml");
    }
    const key = setting("key");
    this.headers = key === null ? {} : { authorization: `Bearer ${secretText(key)}` };
    this.perMinute = setting("requests_per_minute", 60);
    this.burst = setting("burst", 10);
    this.rememberMs = Math.round(setting("remember_seconds", 600) * 1000);
    this.timeoutMs = setting("timeout_ms", 2000);
    this.refusals = new metrics.Counter("moderation_refusals_total", "Requests refused because of the service's limits");
  }

  run(request, inputs) {
    const texts = inputs.get("text").texts();
    const known = texts.map((text) => recall(text));
    const unknown = [...new Set(texts.filter((_, row) => known[row] === null))];
    const fresh = new Map();
    if (unknown.length > 0) {
      this.spend();
      this.ask(unknown).forEach((verdict, index) => {
        fresh.set(unknown[index], verdict);
        this.remember(unknown[index], verdict);
      });
    }
    const judged = texts.map((text, row) => known[row] ?? fresh.get(text));
    const shape = [texts.length, 1];
    const outputs = {
      flagged: Tensor.from("BOOL", shape, judged.map(({ flagged }) => flagged)),
      score: Tensor.from("FP32", shape, judged.map(({ score }) => score)),
    };
    return { outputs, parameters: { asked: unknown.length } };
  }

  /// Takes a request from the allowance that all instances share.
  spend() {
    const limits = { perMinute: this.perMinute, burst: this.burst, now: Date.now() };
    for (let attempt = 0; attempt < TRIES_MAX; attempt++) {
      const entry = state.get(ALLOWANCE);
      const { allowance, waitMs, why } = take(entry && JSON.parse(entry.text()), limits);
      if (allowance === undefined) {
        this.refuse(why, waitMs);
      }
      if (state.swap(ALLOWANCE, written(allowance), entry && entry.version) !== null) {
        return;
      }
    }
    this.refuse("too many requests at one time", 100);
  }

  refuse(why, waitMs) {
    this.refusals.add(1);
    throw new PluginError("resource-exhausted", `${why}; ask again in ${(waitMs / 1000).toFixed(1)} s`);
  }

  /// The service's verdicts.
  ask(texts) {
    const answer = http.request(this.url, { json: { input: texts }, headers: this.headers, timeoutMs: this.timeoutMs });
    if (answer.status === 429 || answer.status === 503) {
      const waitMs = retryAfterMs(answer.headers.get("retry-after"), PAUSE_MS);
      state.set(ALLOWANCE, written(pause(Date.now(), waitMs)));
      log.warn(`the service wants a pause of ${waitMs} ms (${answer.status})`);
      this.refuse(`the service answered ${answer.status}`, waitMs);
    }
    if (!answer.ok) {
      throw new PluginError("unavailable", `the service answered ${answer.status}`);
    }
    try {
      return verdicts(answer.json(), texts.length);
    } catch (error) {
      if (error instanceof Malformed || error instanceof SyntaxError) {
        throw new PluginError("unavailable", `the service answered something else than verdicts: ${error.message}`);
      }
      throw error;
    }
  }

  /// Where there is no room left, the text is asked about again.
  remember(text, verdict) {
    if (!isShort(text)) {
      return;
    }
    try {
      state.set(keyOf(text), JSON.stringify(verdict), { lifetimeMs: this.rememberMs });
    } catch (error) {
      log.debug(`a verdict is not remembered: ${error.message}`);
    }
  }
}

/// Always of the same length, so that there is room for the next one however much is remembered.
function written(allowance) {
  return JSON.stringify(allowance).padEnd(120);
}

/// What was said of the text before, or `null`.
function recall(text) {
  const entry = isShort(text) ? state.get(keyOf(text)) : null;
  return entry && JSON.parse(entry.text());
}

function keyOf(text) {
  return `text:${text}`;
}

/// A character is at most three bytes for each of its units.
function isShort(text) {
  return text.length * 3 <= REMEMBERED_BYTES_MAX;
}

export const transform = plugin(Moderation);
