//! A fresh key and its entry for the file. The key itself is kept nowhere.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::{Categories, keys};

/// Random bytes of a key: beyond guessing, and no longer than a line.
const KEY_BYTES: usize = 32;

/// In front of every key, so that scanners for leaked secrets can know one.
const KEY_PREFIX: &str = "nereid_";

/// A key that nobody has seen yet.
pub struct NewKey {
    secret: String,
    entry: String,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum NewKeyError {
    #[error("the system gives no random bytes")]
    Randomness,
    #[error("the name of a key is one line without quotes and backslashes, not '{0}'")]
    Name(String),
}

// === impl NewKey ===

impl NewKey {
    /// Makes one with the system's randomness.
    ///
    /// # Errors
    /// The name does not fit into the file, or the system has no randomness.
    pub fn make(name: &str, categories: Categories) -> Result<Self, NewKeyError> {
        if name.is_empty() || name.contains(|character: char| character.is_control() || "\"\\".contains(character)) {
            return Err(NewKeyError::Name(name.to_owned()));
        }
        let mut bytes = [0; KEY_BYTES];
        let random = rustls::crypto::ring::default_provider().secure_random;
        random.fill(&mut bytes).map_err(|_| NewKeyError::Randomness)?;
        let secret = format!("{KEY_PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
        let sha256: String = keys::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let names = match categories.to_string() {
            all if all == Categories::ALL_NAME => format!("\"{all}\""),
            _ => categories.iter().map(|category| format!("\"{}\"", category.name())).collect::<Vec<_>>().join(", "),
        };
        let entry = format!("[[key]]\nname = \"{name}\"\nsha256 = \"{sha256}\"\ncategories = [{names}]\n");
        Ok(Self { secret, entry })
    }

    /// What the client sends.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// What the file says of it.
    pub fn entry(&self) -> &str {
        &self.entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyFile;

    #[test]
    fn a_fresh_key_opens_what_its_entry_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let categories = Categories::from_names(["inference", "metrics"]).unwrap();
        let (one, other) = (NewKey::make("it's", categories).unwrap(), NewKey::make("b", categories).unwrap());
        assert_ne!(one.secret(), other.secret());
        assert_eq!(one.secret().len(), "nereid_".len() + 43);
        std::fs::write(&path, format!("{}\n{}", one.entry(), other.entry())).unwrap();
        let file = KeyFile::load(&path, &Default::default()).unwrap();
        let keys = file.keys();
        let found = keys.find(one.secret().as_bytes()).unwrap();
        assert_eq!((&*found.name, found.categories), ("it's", categories));
        assert!(!one.entry().contains(one.secret()));
    }

    #[test]
    fn a_name_that_would_break_the_file_is_refused() {
        for name in ["", "a\"b", "a\nb", "a\\b"] {
            assert!(matches!(NewKey::make(name, Categories::default()), Err(NewKeyError::Name(_))));
        }
    }
}
