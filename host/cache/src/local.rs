//! `--cache-config=local,size=BYTES`: answers in this process, for all models together, the least recently used ones
//! leaving first.
//!
//! Promises: what is kept never occupies more than the budget. An answer that is pushed out while it is being sent lives
//! until it is sent. Costs one lock and one hash look-up per request, whatever is kept; one lock is enough because it is
//! held for less than a microsecond: copies are made before it is taken, and what is pushed out is freed behind it.

use lru::LruCache;
use nereid_inference::InferResponse;
use parking_lot::Mutex;

use crate::{CacheKey, CacheLimits, Lookup, ResponseCache, entry::Entry};

/// The least recently used leave first.
pub struct LocalCache {
    budget_bytes: usize,
    entry_bytes_max: usize,
    kept: Mutex<Kept>,
}

struct Kept {
    /// Bounded by the bytes, not by the count.
    entries: LruCache<CacheKey, Entry>,
    size_bytes: usize,
}

// === impl LocalCache ===

impl LocalCache {
    /// Empty, for `budget_bytes` bytes.
    pub fn new(budget_bytes: usize, limits: &CacheLimits) -> Self {
        let kept = Mutex::new(Kept { entries: LruCache::unbounded(), size_bytes: 0 });
        Self { budget_bytes, entry_bytes_max: limits.entry_bytes_max.min(budget_bytes), kept }
    }
}

impl ResponseCache for LocalCache {
    fn is_shared(&self) -> bool {
        false
    }

    fn lookup(&self, key: &CacheKey) -> Lookup {
        let mut kept = self.kept.lock();
        kept.entries.get(key).map_or(Lookup::Miss, |entry| Lookup::Hit(entry.response.clone()))
    }

    fn insert(&self, key: &CacheKey, response: &InferResponse) {
        let Some(entry) = Entry::copy_of(response, self.entry_bytes_max) else { return };
        if entry.size_bytes > self.budget_bytes {
            return;
        }
        let left = self.kept.lock().put(*key, entry, self.budget_bytes);
        drop(left);
    }
}

// === impl Kept ===

impl Kept {
    /// Returns what had to leave, to be freed without the lock.
    fn put(&mut self, key: CacheKey, entry: Entry, budget_bytes: usize) -> Vec<Entry> {
        self.size_bytes += entry.size_bytes;
        let mut left: Vec<Entry> = self.entries.put(key, entry).into_iter().collect();
        self.size_bytes -= left.iter().map(|entry| entry.size_bytes).sum::<usize>();
        while self.size_bytes > budget_bytes
            && let Some((_, oldest)) = self.entries.pop_lru()
        {
            self.size_bytes -= oldest.size_bytes;
            left.push(oldest);
        }
        left
    }
}

#[cfg(test)]
mod tests;
