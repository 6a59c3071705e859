//! The file of `--api-key-file`, in TOML:
//!
//! ```toml
//! open = ["health"]                           # categories that need no key; none unless given
//!
//! [[key]]
//! name = "frontend"                           # for the log; never secret
//! sha256 = "…"                                # hex digest of the key
//! categories = ["inference", "metadata"]      # what it may use; ["all"] for everything
//! tenant = "acme"                             # on whose account its requests go; nobody's unless given
//! ```
//!
//! The file holds no secret that could be used, yet who can write it can let themselves in.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use nereid_tenants::{Tenants, UnknownTenant};
use serde::Deserialize;

use crate::{
    Categories,
    keys::{KEYS_MAX, Key, KeyDigest, Keys},
    reload::{FILE_BYTES_MAX, Followed, Look, Reload},
};

/// A file of keys that is followed.
#[derive(Debug)]
pub struct KeyFile(Followed<Keys, KeyFileError>);

/// Why a file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the file of API keys '{}' {problem}", path.display())]
pub struct KeyFileError {
    path: PathBuf,
    problem: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileContent {
    #[serde(default)]
    open: Vec<String>,
    #[serde(default)]
    key: Vec<KeyEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    name: String,
    sha256: String,
    categories: Vec<String>,
    tenant: Option<String>,
}

// === impl KeyFile ===

impl KeyFile {
    /// Reads the file for the first time; its keys are those of `tenants`.
    ///
    /// # Errors
    /// It is missing, too large, not what it should be, or has no key.
    pub fn load(path: &Path, tenants: &Tenants) -> Result<Self, KeyFileError> {
        let name = format!("API keys of '{}'", path.display());
        let (owned, tenants) = (path.to_owned(), tenants.clone());
        let read = move || read(&owned, &tenants).map_err(|problem| KeyFileError { path: owned.clone(), problem });
        Followed::new(name, vec![path.to_owned()], read).map(Self)
    }

    pub(crate) fn keys(&self) -> arc_swap::Guard<std::sync::Arc<Keys>> {
        self.0.peek()
    }
}

impl Reload for KeyFile {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn look(&self, forced: bool) -> Look {
        self.0.look(forced)
    }
}

/// The whole file; one that is larger than any file of its kind is refused before it takes the memory.
pub(crate) fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

fn read(path: &Path, tenants: &Tenants) -> Result<Keys, String> {
    let bytes = read_bytes(path).map_err(|error| format!("cannot be read: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|_| "is not text in UTF-8".to_owned())?;
    parse(&text, tenants)
}

fn parse(text: &str, tenants: &Tenants) -> Result<Keys, String> {
    let content: FileContent = toml::from_str(text).map_err(|error| {
        let line =
            error.span().map_or(1, |span| 1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count());
        format!("is wrong in line {line}: {}", error.message())
    })?;
    if content.key.is_empty() {
        return Err("has no [[key]]: nobody could use the server; 'nereid api-key new' makes one".to_owned());
    }
    if content.key.len() > KEYS_MAX {
        return Err(format!("has {} keys, {KEYS_MAX} are the most", content.key.len()));
    }
    let open = categories(&content.open).map_err(|problem| format!("is wrong at 'open': {problem}"))?;
    let mut keys: Vec<Key> = Vec::with_capacity(content.key.len());
    for entry in content.key {
        let key = entry.check(tenants).map_err(|problem| format!("is wrong at the key '{}': {problem}", entry.name))?;
        if let Some(other) = keys.iter().find(|other| other.name == key.name || other.digest == key.digest) {
            return Err(format!("has two keys with the same name or digest: '{}' and '{}'", other.name, key.name));
        }
        keys.push(key);
    }
    Ok(Keys { open, keys })
}

fn categories(names: &[String]) -> Result<Categories, String> {
    Categories::from_names(names.iter().map(String::as_str))
}

// === impl KeyEntry ===

impl KeyEntry {
    fn check(&self, tenants: &Tenants) -> Result<Key, String> {
        if self.name.is_empty() || self.name.chars().any(char::is_control) {
            return Err("its name must be a word for the log".to_owned());
        }
        let digest = parse_digest(&self.sha256)
            .ok_or("'sha256' must be the 64 hexadecimal digits that 'nereid api-key new' or sha256sum prints")?;
        let categories = categories(&self.categories)?;
        if categories == Categories::default() {
            return Err("'categories' is empty: it could be used for nothing".to_owned());
        }
        let tenant = self.tenant.as_deref().map(|name| tenants.find(name)).transpose();
        let tenant = tenant.map_err(|UnknownTenant(problem)| problem)?;
        Ok(Key { name: self.name.as_str().into(), digest, categories, tenant })
    }
}

fn parse_digest(hex: &str) -> Option<KeyDigest> {
    let mut digest = KeyDigest::default();
    if hex.len() != 2 * digest.len() || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests;
