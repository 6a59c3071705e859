//! Secrets: by name, read where the operator keeps them when a plugin that is granted one is loaded.

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use nereid_plugin::Secret;

use super::{Ceiling, Denied};

/// Bytes of a secret: a certificate with its chain fits.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Where a secret is read when a plugin that is granted it is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// The file's bytes, without line ends at their end.
    File(PathBuf),
    /// A variable of the server's environment.
    Environment(String),
}

// === impl SecretSource ===

impl SecretSource {
    fn read(&self) -> Result<Secret, String> {
        match self {
            Self::File(path) => {
                let failed = |error| format!("'{}' cannot be read: {error}", path.display());
                let length = fs::metadata(path).map_err(failed)?.len();
                if length > SECRET_BYTES_MAX {
                    return Err(format!("'{}' is larger than {SECRET_BYTES_MAX} bytes", path.display()));
                }
                let bytes = fs::read(path).map_err(failed)?;
                let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
                Ok(Secret::new(bytes.get(..end).unwrap_or_default()))
            }
            Self::Environment(name) => match env::var_os(name) {
                Some(value) => Ok(Secret::new(value.into_encoded_bytes())),
                None => Err(format!("the server's environment has no variable '{name}'")),
            },
        }
    }
}

/// What is granted of what is asked for.
pub(super) fn grants(
    kept: &BTreeMap<String, SecretSource>,
    asked: Vec<String>,
    ceilings: &[&Ceiling],
    denied: &mut Denied,
) -> BTreeMap<String, Secret> {
    let mut secrets = BTreeMap::new();
    for name in asked {
        let what = format!("secrets '{name}'");
        if !ceilings.iter().all(|ceiling| ceiling.secrets.contains(&name)) {
            denied.push(&what, "the operator does not allow it ([plugins.grants] secrets in nereid.toml)");
            continue;
        }
        match kept.get(&name).map(SecretSource::read) {
            Some(Ok(secret)) => drop(secrets.insert(name, secret)),
            Some(Err(problem)) => denied.push(&what, &problem),
            None => denied.push(&what, &format!("there is no [secrets.{name}] in nereid.toml")),
        }
    }
    secrets
}
