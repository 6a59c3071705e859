//! What a plugin may reach beyond the tensors of its requests: nothing that it was not granted.
//!
//! A grant is asked for by the plugin's owner and bounded by the operator; what arrives here is what came of both. Names of
//! models are compared when a model is called, because patterns can stand on both sides; everything else is settled when the
//! plugin is loaded.

use std::{collections::BTreeMap, fmt, io, path::PathBuf, sync::Arc};

use cap_std::{ambient_authority, fs::Dir};
use nereid_inference::InferError;

use crate::{http_grant::HttpGrant, names::NamePatterns};

/// Everything that one plugin is granted.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// Models that it may call.
    pub models: ModelGrant,
    /// Models that it may load and unload.
    pub model_control: ModelGrant,
    pub folders: Vec<FolderGrant>,
    /// Servers that it may call.
    pub http: HttpGrant,
    /// Variables that its language's runtime sees.
    pub environment: BTreeMap<String, String>,
    /// By name.
    pub secrets: BTreeMap<String, Secret>,
    pub clocks: Clocks,
    /// What its random numbers begin with, the same for every guest; `None` for a beginning that nobody knows.
    pub random_seed: Option<u64>,
}

/// Models that are in every list.
#[derive(Clone, Debug, Default)]
pub struct ModelGrant {
    /// What `plugin.toml` lists.
    pub asked: NamePatterns,
    /// What the operator allows: of any plugin, of the tenant's.
    pub allowed: Vec<NamePatterns>,
}

/// A folder of the machine, under the path by which the plugin knows it.
#[derive(Clone)]
pub struct FolderGrant {
    /// Absolute, in the plugin's own tree: `/lookup`.
    pub guest_path: String,
    pub host_path: PathBuf,
    pub is_writable: bool,
    /// Nothing outside of it can be reached through it.
    pub(crate) directory: Arc<Dir>,
}

/// Bytes that are shown to nobody but the plugin.
#[derive(Clone)]
pub struct Secret(Arc<[u8]>);

/// What the clocks of WASI show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clocks {
    /// The time at which the call began or last waited for something: a guest can neither measure what it computes nor
    /// listen to its neighbours by the time that things take.
    #[default]
    Still,
    /// The time.
    Running,
}

// === impl Grants ===

impl Grants {
    /// The folder that a path of the plugin's lies in, and the path inside it.
    pub(crate) fn folder_of<'a>(&self, path: &'a str) -> Option<(&FolderGrant, &'a str)> {
        let inside = |folder: &FolderGrant| {
            let rest = path.strip_prefix(folder.guest_path.as_str())?;
            let rest = if folder.guest_path == "/" {
                Some(rest)
            } else {
                rest.strip_prefix('/').or(rest.is_empty().then_some(""))
            };
            rest.map(|rest| if rest.is_empty() { "." } else { rest })
        };
        let found = self.folders.iter().filter_map(|folder| Some((folder, inside(folder)?)));
        found.max_by_key(|(folder, _)| folder.guest_path.len())
    }
}

// === impl ModelGrant ===

impl ModelGrant {
    /// Every model, for hosts that serve nobody else's plugins.
    pub fn all() -> Self {
        Self { asked: NamePatterns::all(), allowed: Vec::new() }
    }

    /// # Errors
    /// `Permission`: the model is not in every list. `what` is what the plugin wants, as in `call`; `key` where it is granted.
    pub(crate) fn check(&self, what: &str, key: &str, model: &str) -> Result<(), InferError> {
        if !self.asked.contains(model) {
            let listed = match self.asked.is_empty() {
                true => "nothing is listed".to_owned(),
                false => format!("listed: {}", self.asked),
            };
            return Err(InferError::permission(format!(
                "it may not {what} model '{model}': list it under [grants] {key} in its plugin.toml ({listed})"
            )));
        }
        if !self.is_allowed(model) {
            return Err(InferError::permission(format!(
                "it may not {what} model '{model}': the server's operator does not allow it ({key} in nereid.toml)"
            )));
        }
        Ok(())
    }

    pub(crate) fn contains(&self, model: &str) -> bool {
        self.asked.contains(model) && self.is_allowed(model)
    }

    /// Whether the operator allows it, asked for or not.
    pub fn is_allowed(&self, model: &str) -> bool {
        self.allowed.iter().all(|list| list.contains(model))
    }
}

// === impl FolderGrant ===

impl FolderGrant {
    /// Opens the folder.
    ///
    /// # Errors
    /// There is none, or this server may not read it.
    pub fn open(guest_path: String, host_path: PathBuf, is_writable: bool) -> io::Result<Self> {
        let directory = Arc::new(Dir::open_ambient_dir(&host_path, ambient_authority())?);
        Ok(Self { guest_path, host_path, is_writable, directory })
    }
}

impl fmt::Debug for FolderGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { guest_path, host_path, is_writable, .. } = self;
        write!(f, "FolderGrant({guest_path} = {}, writable: {is_writable})", host_path.display())
    }
}

// === impl Secret ===

impl Secret {
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// For the plugin that was granted it.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use nereid_inference::ErrorKind;

    use super::*;

    #[test]
    fn a_model_must_be_in_both_lists_and_the_error_says_in_which_it_is_not() {
        let grant =
            ModelGrant { asked: ["a", "b"].into_iter().collect(), allowed: vec![["b", "c"].into_iter().collect()] };
        let text =
            |model| grant.check("call", "models", model).map_err(|error| (error.kind(), error.message().to_owned()));
        assert_eq!(text("b"), Ok(()));
        let (kind, asked) = text("c").unwrap_err();
        assert_eq!(kind, ErrorKind::Permission);
        assert_eq!(
            asked,
            "it may not call model 'c': list it under [grants] models in its plugin.toml (listed: 'a', 'b')"
        );
        let (_, allowed) = text("a").unwrap_err();
        assert_eq!(
            allowed,
            "it may not call model 'a': the server's operator does not allow it (models in nereid.toml)"
        );
    }

    #[test]
    fn a_secret_is_not_printed() {
        let grants = Grants { secrets: [("k".to_owned(), Secret::new(*b"hunter2"))].into(), ..Grants::default() };
        let printed = format!("{grants:?}");
        assert!(printed.contains("\"k\": Secret(…)") && !printed.contains("104"), "{printed}");
    }

    #[test]
    fn the_innermost_folder_has_a_path() {
        let here = std::env::temp_dir();
        let folder = |path: &str| FolderGrant::open(path.to_owned(), here.clone(), false).unwrap();
        let grants = Grants { folders: vec![folder("/data"), folder("/data/deep")], ..Grants::default() };
        let found = |path| grants.folder_of(path).map(|(folder, rest)| (folder.guest_path.clone(), rest));
        assert_eq!(found("/data/x/y"), Some(("/data".to_owned(), "x/y")));
        assert_eq!(found("/data/deep/y"), Some(("/data/deep".to_owned(), "y")));
        assert_eq!(found("/data"), Some(("/data".to_owned(), ".")));
        assert_eq!(found("/database"), None);
        assert_eq!(found("data/x"), None);
        let root = Grants { folders: vec![folder("/")], ..Grants::default() };
        assert_eq!(root.folder_of("/x").map(|(_, rest)| rest), Some("x"));
    }
}
