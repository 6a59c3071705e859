//! What the cache may take, besides the budget of bytes that `--cache-config=local,size=…` names.

use std::time::Duration;

nereid_inference::limits! {
    /// What answers that are kept, and requests that wait for them, may take.
    pub struct CacheLimits {
        /// Bytes of one answer's tensors.
        entry_bytes_max: Bytes = 16 << 20, in 1..=256 << 20,
            "cache-entry", "outputs of one answer that is cached; larger ones would push out too many others";
        /// Requests that wait for one execution of the same request.
        followers_max: Count = 1024,
            "cache-followers", "identical requests that wait for one execution; those beyond it run for themselves";
        /// From a command to its answer.
        redis_operation_max: Time = Duration::from_millis(100),
            "cache-redis-operation", "one look-up in Redis; then the request is executed as if nothing was found";
        /// From the first packet to the first answer.
        redis_connect_max: Time = Duration::from_secs(2),
            "cache-redis-connect", "a new connection to Redis; no request waits for it";
        /// How long Redis is left alone after an operation failed.
        redis_pause: Time = Duration::from_secs(1),
            "cache-redis-pause", "nobody asks Redis for this long after it failed or was too slow; then one request tries";
        /// Bytes of answers that Redis has not confirmed.
        redis_insert_bytes_max: Bytes = 64 << 20,
            "cache-redis-inserts", "answers on their way to Redis; further ones are not kept";
        /// How long an entry lives.
        redis_lifetime: Time = Duration::from_secs(24 * 3_600),
            "cache-redis-lifetime", "an answer in Redis; what reloads have left behind goes with it";
    }
}
