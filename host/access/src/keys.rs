//! API keys as the server knows them: digests, names, and what each may use.
//!
//! A key is 256 random bits, hence one round of SHA-256 is enough: there is nothing to guess that a slow hash would
//! protect. Looking a key up compares its digest with every one, each in constant time.

use std::sync::Arc;

use nereid_inference::SharedTenant;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use crate::{Categories, Category};

/// SHA-256 of a key.
pub(crate) type KeyDigest = [u8; 32];

/// Most keys of one server; a look-up compares them all, 1,000 in about ten microseconds.
pub const KEYS_MAX: usize = 1000;

/// Everything that a file of keys says.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// What needs no key.
    pub(crate) open: Categories,
    pub(crate) keys: Vec<Key>,
}

/// One key and what it may use.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: Arc<str>,
    pub(crate) digest: KeyDigest,
    pub(crate) categories: Categories,
    /// On whose account its requests go.
    pub(crate) tenant: SharedTenant,
}

pub(crate) fn digest(key: &[u8]) -> KeyDigest {
    Sha256::digest(key).into()
}

// === impl Keys ===

impl Keys {
    /// Whether the category asks for no key; a path that does not exist always asks for one.
    pub(crate) fn is_open(&self, category: Option<Category>) -> bool {
        category.is_some_and(|category| self.open.contains(category))
    }

    /// The entry of a key that a client has presented.
    pub(crate) fn find(&self, presented: &[u8]) -> Option<&Key> {
        let presented = digest(presented);
        let mut found = u32::MAX;
        for (index, key) in (0..).zip(&self.keys) {
            let is_equal: Choice = key.digest.ct_eq(&presented);
            found.conditional_assign(&index, is_equal);
        }
        self.keys.get(usize::try_from(found).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Keys {
        let key = |name: &&str| Key {
            name: (*name).into(),
            digest: digest(name.as_bytes()),
            categories: Categories::default(),
            tenant: None,
        };
        Keys { open: Categories::from_iter([Category::Health]), keys: names.iter().map(key).collect() }
    }

    #[test]
    fn a_key_is_found_by_its_digest() {
        let keys = keys(&["a", "b", "c"]);
        for name in ["a", "b", "c"] {
            assert_eq!(&*keys.find(name.as_bytes()).unwrap().name, name);
        }
        assert!(keys.find(b"d").is_none() && keys.find(b"").is_none());
        assert!(self::keys(&[]).find(b"a").is_none());
    }

    #[test]
    fn the_digest_is_that_of_sha256sum() {
        let hex: String = digest(b"abc").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn only_what_is_named_is_open() {
        let keys = keys(&[]);
        assert!(keys.is_open(Some(Category::Health)));
        assert!(!keys.is_open(Some(Category::Inference)) && !keys.is_open(None));
    }
}
