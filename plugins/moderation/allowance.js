// How many requests may still be made: so many a minute, saved up to a burst. Pure: times are given, milliseconds since 1970.
//
// An allowance is `{ left, at, until }`: so many requests could be made at that time, and none until then, which is a pause that the other side
// asked for. Every instance has a clock of its own, which stands while it computes: another one's `at` may lie a little ahead.

/// The allowance after one request, or how long to wait for one and why.
export function take(allowance, { perMinute, burst, now }) {
  const { left, at, until } = allowance ?? { left: burst, at: now, until: 0 };
  if (until > now) {
    return { waitMs: until - now, why: "the service asked for a pause" };
  }
  const saved = Math.min(burst, left + (Math.max(0, now - at) * perMinute) / 60_000);
  if (saved < 1) {
    return { waitMs: Math.ceil(((1 - saved) * 60_000) / perMinute), why: `${perMinute} requests a minute are allowed` };
  }
  return { allowance: { left: saved - 1, at: Math.max(at, now), until: 0 } };
}

/// Nothing for a while.
export function pause(now, milliseconds) {
  return { left: 1, at: now + milliseconds, until: now + milliseconds };
}

/// What a `Retry-After` asks for, in milliseconds; `fallbackMs` where it is missing or a date.
export function retryAfterMs(value, fallbackMs) {
  const seconds = Number(value ?? NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds, 3600) * 1000 : fallbackMs;
}
