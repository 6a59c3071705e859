//! What the guests of one model keep between calls: keys and values with versions, limited together.
//!
//! Promises: a version is never used twice, so that a swap that expects one notices every change between. Values whose time
//! is over are gone at the next look and no longer counted at the next change.
//! Costs: one lock and one search of a tree per call; values are copied in and out.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use nereid_inference::InferError;
use parking_lot::Mutex;

/// Longest key; longer ones are mostly data that belongs into the value.
const KEY_BYTES_MAX: usize = 256;

/// What a key costs beside its bytes and its value's: the tree's node, the version, the time.
const ENTRY_BYTES: usize = 96;

/// Length of a number as [`StateStore::add`] keeps it.
const NUMBER_BYTES: usize = 8;

/// The state of one model.
#[derive(Debug)]
pub struct StateStore {
    inner: Mutex<Inner>,
}

/// A value and the change that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub value: Vec<u8>,
    pub version: u64,
}

/// What a change needs to know besides its key.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub now: Instant,
    /// Keys and values together, in bytes; growth beyond it is refused.
    pub bytes_max: u64,
    pub time_to_live: Option<Duration>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: BTreeMap<String, Stored>,
    /// When values are over, soonest first.
    ends: BTreeSet<(Instant, String)>,
    bytes: usize,
    last_version: u64,
}

#[derive(Debug)]
struct Stored {
    entry: Entry,
    ends: Option<Instant>,
}

// === impl StateStore ===

impl StateStore {
    /// An empty one.
    #[expect(clippy::new_without_default, reason = "shared through an Arc by those who look it up by model")]
    pub fn new() -> Self {
        Self { inner: Mutex::default() }
    }

    /// The value under `key`.
    pub fn get(&self, key: &str, now: Instant) -> Option<Entry> {
        self.inner.lock().live(key, now).map(|stored| stored.entry.clone())
    }

    /// Writes whatever is there, and gives the new version.
    ///
    /// # Errors
    /// The key is too long, or the state would be too large.
    pub fn set(&self, key: &str, value: Vec<u8>, terms: Terms) -> Result<u64, InferError> {
        let mut inner = self.inner.lock();
        inner.forget_what_is_over(terms.now);
        inner.write(key, value, terms, terms.time_to_live.and_then(|ttl| terms.now.checked_add(ttl)))
    }

    /// Writes if the version is still `expected`; `None` when it is not.
    ///
    /// # Errors
    /// As of [`Self::set`].
    pub fn swap(
        &self,
        key: &str,
        value: Vec<u8>,
        expected: Option<u64>,
        terms: Terms,
    ) -> Result<Option<u64>, InferError> {
        let mut inner = self.inner.lock();
        inner.forget_what_is_over(terms.now);
        if inner.live(key, terms.now).map(|stored| stored.entry.version) != expected {
            return Ok(None);
        }
        let ends = terms.time_to_live.and_then(|ttl| terms.now.checked_add(ttl));
        inner.write(key, value, terms, ends).map(Some)
    }

    /// Adds to a number, 0 when there is none.
    ///
    /// # Errors
    /// As of [`Self::set`]; what is there is no number, or the sum is none.
    pub fn add(&self, key: &str, amount: i64, terms: Terms) -> Result<i64, InferError> {
        let mut inner = self.inner.lock();
        inner.forget_what_is_over(terms.now);
        let (before, ends) = match inner.live(key, terms.now) {
            None => (0, None),
            Some(stored) => (number(key, &stored.entry.value)?, stored.ends),
        };
        let sum = before.checked_add(amount).ok_or_else(|| {
            InferError::invalid_argument(format!("state '{key}': {before} and {amount} have no sum of 64 bits"))
        })?;
        inner.write(key, sum.to_le_bytes().to_vec(), terms, ends)?;
        Ok(sum)
    }

    /// Forgets a key; whether there was a value.
    pub fn delete(&self, key: &str, now: Instant) -> bool {
        let mut inner = self.inner.lock();
        inner.forget_what_is_over(now);
        inner.remove(key)
    }

    /// The keys with a prefix, in order.
    pub fn keys(&self, prefix: &str, limit: usize, now: Instant) -> Vec<String> {
        let mut inner = self.inner.lock();
        inner.forget_what_is_over(now);
        let from = inner.entries.range(prefix.to_owned()..);
        let with_prefix = from.map(|(key, _)| key).take_while(|key| key.starts_with(prefix));
        with_prefix.take(limit).cloned().collect()
    }

    /// Bytes that keys and values occupy, as they are counted against the limit.
    pub fn bytes(&self) -> u64 {
        self.inner.lock().bytes as u64
    }
}

// === impl Inner ===

impl Inner {
    fn live(&self, key: &str, now: Instant) -> Option<&Stored> {
        self.entries.get(key).filter(|stored| stored.ends.is_none_or(|ends| now < ends))
    }

    fn forget_what_is_over(&mut self, now: Instant) {
        while let Some((ends, _)) = self.ends.first()
            && *ends <= now
            && let Some((_, key)) = self.ends.pop_first()
        {
            self.remove(&key);
        }
    }

    fn write(&mut self, key: &str, value: Vec<u8>, terms: Terms, ends: Option<Instant>) -> Result<u64, InferError> {
        if key.len() > KEY_BYTES_MAX {
            let text = format!("a state key has {} bytes, the limit is {KEY_BYTES_MAX}", key.len());
            return Err(InferError::invalid_argument(text));
        }
        let freed = self.entries.get(key).map_or(0, |stored| cost(key, &stored.entry.value));
        let bytes = self.bytes - freed + cost(key, &value);
        if bytes as u64 > terms.bytes_max {
            let limit = terms.bytes_max;
            let text = format!("the model's state would have {bytes} bytes, the limit is {limit} (state_kib)");
            return Err(InferError::resource_exhausted(text));
        }
        self.remove(key);
        self.bytes = bytes;
        self.last_version += 1;
        let entry = Entry { value, version: self.last_version };
        if let Some(ends) = ends {
            self.ends.insert((ends, key.to_owned()));
        }
        self.entries.insert(key.to_owned(), Stored { entry, ends });
        Ok(self.last_version)
    }

    fn remove(&mut self, key: &str) -> bool {
        let Some((key, stored)) = self.entries.remove_entry(key) else { return false };
        self.bytes -= cost(&key, &stored.entry.value);
        if let Some(ends) = stored.ends {
            self.ends.remove(&(ends, key));
        }
        true
    }
}

fn cost(key: &str, value: &[u8]) -> usize {
    key.len() + value.len() + ENTRY_BYTES
}

fn number(key: &str, value: &[u8]) -> Result<i64, InferError> {
    value.try_into().map(i64::from_le_bytes).map_err(|_| {
        let found = value.len();
        InferError::invalid_argument(format!(
            "state '{key}' has {found} bytes and is no number to add to, which has {NUMBER_BYTES}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(now: Instant) -> Terms {
        Terms { now, bytes_max: 1000, time_to_live: None }
    }

    #[test]
    fn a_swap_notices_every_change_even_one_back() {
        let (store, now) = (StateStore::new(), Instant::now());
        let first = store.swap("k", b"a".to_vec(), None, terms(now)).unwrap().unwrap();
        assert_eq!(store.swap("k", b"b".to_vec(), None, terms(now)).unwrap(), None);
        store.set("k", b"b".to_vec(), terms(now)).unwrap();
        store.set("k", b"a".to_vec(), terms(now)).unwrap();
        assert_eq!(store.swap("k", b"c".to_vec(), Some(first), terms(now)).unwrap(), None);
        let current = store.get("k", now).unwrap();
        assert!(store.swap("k", b"c".to_vec(), Some(current.version), terms(now)).unwrap().is_some());
        store.delete("k", now);
        let again = store.swap("k", b"d".to_vec(), None, terms(now)).unwrap().unwrap();
        assert!(again > current.version + 1);
    }

    #[test]
    fn a_value_is_gone_when_its_time_is_over_and_frees_its_bytes() {
        let (store, now) = (StateStore::new(), Instant::now());
        let second = Duration::from_secs(1);
        store.set("k", vec![0; 100], Terms { time_to_live: Some(second), ..terms(now) }).unwrap();
        assert!(store.get("k", now + second - Duration::from_nanos(1)).is_some());
        assert_eq!(store.get("k", now + second), None);
        assert_eq!(store.swap("k", vec![], Some(1), terms(now + second)).unwrap(), None);
        assert_eq!((store.bytes(), store.keys("", 10, now).len()), (0, 0));
    }

    #[test]
    fn a_value_written_again_lives_as_long_as_said_last() {
        let (store, now) = (StateStore::new(), Instant::now());
        let second = Duration::from_secs(1);
        store.set("k", vec![1], Terms { time_to_live: Some(second), ..terms(now) }).unwrap();
        store.set("k", vec![2], terms(now)).unwrap();
        assert_eq!(store.get("k", now + second * 5).unwrap().value, [2]);
        store.set("n", 5_i64.to_le_bytes().to_vec(), Terms { time_to_live: Some(second), ..terms(now) }).unwrap();
        assert_eq!(store.add("n", -7, terms(now)).unwrap(), -2);
        assert_eq!(store.get("n", now + second), None);
        assert_eq!(store.add("n", 1, terms(now + second)).unwrap(), 1);
    }

    #[test]
    fn growth_beyond_the_limit_is_refused_and_changes_nothing() {
        let (store, now) = (StateStore::new(), Instant::now());
        store.set("k", vec![0; 800], terms(now)).unwrap();
        let error = store.set("l", vec![0; 100], terms(now)).unwrap_err();
        assert_eq!(error.message(), "the model's state would have 1094 bytes, the limit is 1000 (state_kib)");
        assert_eq!(store.bytes(), 897);
        store.set("k", vec![0; 10], terms(now)).unwrap();
        store.set("l", vec![0; 100], terms(now)).unwrap();
        assert!(store.set(&"x".repeat(257), vec![], terms(now)).is_err());
    }

    #[test]
    fn sums_that_make_no_sense_are_refused() {
        let (store, now) = (StateStore::new(), Instant::now());
        store.set("text", b"abc".to_vec(), terms(now)).unwrap();
        assert!(store.add("text", 1, terms(now)).is_err());
        store.add("n", i64::MAX, terms(now)).unwrap();
        assert!(store.add("n", 1, terms(now)).is_err());
        assert_eq!(store.add("n", 0, terms(now)).unwrap(), i64::MAX);
    }

    #[test]
    fn keys_are_listed_in_order_by_their_prefix() {
        let (store, now) = (StateStore::new(), Instant::now());
        for key in ["b/2", "a", "b/1", "c", "b"] {
            store.set(key, vec![], terms(now)).unwrap();
        }
        assert_eq!(store.keys("b", 10, now), ["b", "b/1", "b/2"]);
        assert_eq!(store.keys("b/", 1, now), ["b/1"]);
        assert!(store.keys("x", 10, now).is_empty());
    }
}
