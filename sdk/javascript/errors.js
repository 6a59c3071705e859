// Failures that have a kind. The kind decides the HTTP and gRPC status that a client sees.
//
// `throw new PluginError("invalid-argument", "row 3 is empty")` answers one request. Errors of the host and of called models
// arrive as the same class. Anything else that is thrown becomes an `internal` error that names its text and place.

const CODES = [
  "invalid-argument", "not-found", "unavailable", "unsupported", "already-exists", "cancelled", "deadline-exceeded",
  "resource-exhausted", "permission", "internal",
];

export class PluginError extends Error {
  constructor(code, message) {
    if (!CODES.includes(code)) {
      throw new TypeError(`no error code is called '${code}', expected one of ${CODES.join(", ")}`);
    }
    super(message);
    this.name = "PluginError";
    this.code = code;
  }
}

/// Does what asks the host, and throws what the host refuses as a `PluginError`.
export function asking(action) {
  try {
    return action();
  } catch (refused) {
    const error = refused?.payload ?? refused;
    if (CODES.includes(error?.code) && !(error instanceof PluginError)) {
      throw new PluginError(error.code, error.message);
    }
    throw refused;
  }
}

/// `TypeError: x is not a function (plugin.js:7 in run)`.
export function describe(thrown) {
  if (!(thrown instanceof Error)) {
    return `thrown: ${String(thrown)}`;
  }
  const own = (thrown.stack ?? "").split("\n").filter((line) => line.includes(":") && !line.includes("/nereid/"));
  const frame = /at (?:(\S+) )?\(?(?:.*\/)?([^/:()]+:\d+)(?::\d+)?\)?/.exec(own[0] ?? "");
  const place = frame ? ` (${frame[2]} in ${frame[1] || "the top level"})` : "";
  return `${thrown.name}: ${thrown.message}${place}`;
}
