//! `--cache-config=redis,…`: answers in a Redis server, for every process that serves the same files.
//!
//! Promises: a server that is away, slow, full, or gives back anything but what was put there is a miss. A request waits
//! for it no longer than the time limit of one look-up, and not at all while it is known to be away; putting answers away
//! makes nobody wait. What is read is checked byte by byte against a digest that only its key makes.
//! Costs: a round trip per request that no other identical request is making; entries leave by themselves after a time, or
//! when the server's own policy says so.

mod health;
mod link;
mod settings;
mod value;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Waker},
    time::Duration,
};

use nereid_inference::InferResponse;
use redis::{Cmd, RedisError, Value, cmd};
use tokio::runtime::Handle;

use self::link::Link;
pub use self::{
    link::RedisStartError,
    settings::{RedisSettings, RedisSettingsError, RedisTls},
};
use crate::{CacheKey, CacheLimits, Lookup, ResponseCache};

/// In front of every key, for whoever looks into the server.
const PREFIX: &str = "nereid:answer:";

/// Names, shapes and parameters of an answer, besides its tensors.
const DESCRIPTION_BYTES_MAX: usize = 1 << 20;

/// A Redis server that keeps answers.
pub struct RedisCache {
    shared: Arc<Shared>,
    runtime: Handle,
}

struct Shared {
    link: Arc<Link>,
    entry_bytes_max: usize,
    insert_bytes_max: usize,
    lifetime: Duration,
    /// On their way to the server.
    insert_bytes: AtomicUsize,
    /// The server refused the last answer; said once.
    is_refusing: AtomicBool,
}

/// Bytes on their way, until it is dropped.
struct OnItsWay {
    shared: Arc<Shared>,
    bytes: usize,
}

// === impl RedisCache ===

impl RedisCache {
    /// Connects to the server, or goes on trying when it is away. Must be called within a runtime.
    ///
    /// # Errors
    /// Files that cannot be read, or a server that refuses the user.
    pub async fn start(settings: &RedisSettings, limits: &CacheLimits) -> Result<Arc<Self>, RedisStartError> {
        let shared = Arc::new(Shared {
            link: Link::start(settings, limits).await?,
            entry_bytes_max: limits.entry_bytes_max,
            insert_bytes_max: limits.redis_insert_bytes_max,
            lifetime: limits.redis_lifetime,
            insert_bytes: AtomicUsize::new(0),
            is_refusing: AtomicBool::new(false),
        });
        Ok(Arc::new(Self { shared, runtime: Handle::current() }))
    }
}

impl ResponseCache for RedisCache {
    fn is_shared(&self) -> bool {
        true
    }

    fn lookup(&self, key: &CacheKey) -> Lookup {
        if !self.shared.link.is_up() {
            return Lookup::Miss;
        }
        let (shared, key) = (self.shared.clone(), *key);
        Lookup::Pending(Box::pin(async move { shared.get(&key).await }))
    }

    /// The command is on its way when this returns, if the connection takes it: who looks next finds the answer.
    fn insert(&self, key: &CacheKey, response: &InferResponse) {
        let tensor_bytes: usize = response.outputs.iter().map(|output| output.tensor.byte_size()).sum();
        if tensor_bytes > self.shared.entry_bytes_max || !self.shared.link.is_up() {
            return;
        }
        let Some(on_its_way) = OnItsWay::begin(&self.shared, tensor_bytes) else { return };
        let command = set(key, &value::encode(key, response), self.shared.lifetime);
        let _within = self.runtime.enter();
        let mut put: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
            if let Some(answer) = on_its_way.shared.link.ask(&command).await {
                on_its_way.shared.note(answer);
            }
        });
        if put.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            self.runtime.spawn(put);
        }
    }
}

// === impl Shared ===

impl Shared {
    async fn get(&self, key: &CacheKey) -> Option<InferResponse> {
        let length_max = self.entry_bytes_max.saturating_add(DESCRIPTION_BYTES_MAX);
        match self.link.ask(&get(key, length_max)).await?.ok()? {
            Value::BulkString(value) => value::decode(key, &value),
            _ => None,
        }
    }

    /// Says once that the server takes no answers, and once that it does.
    fn note(&self, answer: Result<Value, RedisError>) {
        match answer {
            Ok(_) => {
                if self.is_refusing.swap(false, Relaxed) {
                    tracing::info!("Redis takes answers again");
                }
            }
            Err(error) => {
                if !self.is_refusing.swap(true, Relaxed) {
                    tracing::warn!("Redis takes no answers: {error}");
                }
            }
        }
    }
}

/// Asks for one byte more than an entry can have and no more, whatever lies there.
fn get(key: &CacheKey, length_max: usize) -> Cmd {
    let mut command = cmd("GETRANGE");
    command.arg(format!("{PREFIX}{key}")).arg(0).arg(length_max);
    command
}

fn set(key: &CacheKey, value: &[u8], lifetime: Duration) -> Cmd {
    let mut command = cmd("SET");
    let milliseconds = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
    command.arg(format!("{PREFIX}{key}")).arg(value).arg("PX").arg(milliseconds);
    command
}

// === impl OnItsWay ===

impl OnItsWay {
    /// `None` when too much is on its way already.
    fn begin(shared: &Arc<Shared>, bytes: usize) -> Option<Self> {
        let before = shared.insert_bytes.fetch_add(bytes, Relaxed);
        let on_its_way = Self { shared: shared.clone(), bytes };
        (before == 0 || before.saturating_add(bytes) <= shared.insert_bytes_max).then_some(on_its_way)
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.shared.insert_bytes.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests;
