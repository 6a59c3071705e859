//! The server's cache as the loader hands it to the models that ask for it.

use std::sync::Arc;

use nereid_cache::{CacheLimits, Generation, ResponseCache};
use nereid_inference::{ModelIdentity, ModelSource};
use tokio::runtime::Handle;

use crate::{
    caching::{Caching, CachingParts},
    fingerprint::{Fingerprint, VersionFiles, unique_mark},
    recorder::Recorder,
};

/// Where answers are kept, and how many requests may wait for one execution.
#[derive(Clone)]
pub struct CacheUse {
    cache: Arc<dyn ResponseCache>,
    followers_max: usize,
}

// === impl CacheUse ===

impl CacheUse {
    /// One store for all models.
    pub fn new(cache: Arc<dyn ResponseCache>, limits: &CacheLimits) -> Self {
        Self { cache, followers_max: limits.followers_max }
    }

    /// Whether generations need a fingerprint.
    pub(crate) fn is_shared(&self) -> bool {
        self.cache.is_shared()
    }

    /// The files of a version that is about to be loaded, where generations need a fingerprint.
    pub(crate) fn look(&self, source: &ModelSource) -> Option<VersionFiles> {
        self.is_shared().then(|| VersionFiles::look(source))
    }

    /// The cache of a generation that is loaded. Without a fingerprint nobody but this generation finds its answers.
    pub(crate) fn begin(
        &self,
        (model, fingerprint): (&ModelIdentity, Option<Fingerprint>),
        recorder: &Arc<Recorder>,
        preserve_order: bool,
    ) -> Arc<Caching> {
        let mark = fingerprint.map_or_else(unique_mark, |fingerprint| fingerprint.to_vec());
        Caching::new(CachingParts {
            cache: self.cache.clone(),
            generation: Generation::new(model, &mark),
            followers_max: self.followers_max,
            recorder: recorder.clone(),
            runtime: Handle::current(),
            preserve_order,
        })
    }
}
