//! The response cache that the command line asks for.

use std::{env, sync::Arc};

use nereid_cache::{LocalCache, RedisCache, ResponseCache};
use nereid_pipeline::CacheUse;

use crate::{
    arguments::{CacheChoice, ServeArguments},
    error::ServerError,
};

/// Starts it; `None` when none is asked for. A Redis server that is away is no error.
///
/// # Errors
/// A Redis server that refuses its user, or certificates that cannot be read.
pub(crate) async fn start(arguments: &ServeArguments) -> Result<Option<CacheUse>, ServerError> {
    let limits = arguments.limits()?.cache;
    let cache: Arc<dyn ResponseCache> = match arguments.cache.choice(|name| env::var(name).ok())? {
        None => return Ok(None),
        Some(CacheChoice::Local { size_bytes }) => {
            tracing::info!("response cache: local, {size_bytes} bytes");
            Arc::new(LocalCache::new(size_bytes, &limits))
        }
        Some(CacheChoice::Redis(settings)) => {
            tracing::info!("response cache: Redis at {settings}");
            RedisCache::start(&settings, &limits).await?
        }
    };
    Ok(Some(CacheUse::new(cache, &limits)))
}
