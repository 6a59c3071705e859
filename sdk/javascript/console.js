// `console`, as libraries expect it: lines for the server's log, of the level that the function is called. Texts as they are, errors with
// their stack, objects as JSON.

import { write } from "./log.js";

const LEVELS = { log: "info", info: "info", warn: "warn", error: "error", debug: "debug", trace: "trace" };

function shown(value) {
  if (value instanceof Error) {
    return `${value}\n${value.stack ?? ""}`.trimEnd();
  }
  if (typeof value !== "object" || value === null) {
    return String(value);
  }
  try {
    return JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? String(inner) : inner));
  } catch {
    return String(value); // one that holds itself
  }
}

const console = Object.entries(LEVELS).map(([name, level]) => [
  name,
  (...values) => write(level, values.map(shown).join(" ")),
]);

globalThis.console = { ...globalThis.console, ...Object.fromEntries(console) };
