//! What tells one generation of a model version from all others, for the keys of cached answers.
//!
//! In a cache of this process a number that no other load gets is enough: what is loaded again starts with nothing. Answers
//! in a store that processes share are kept under a *fingerprint* instead: a digest of the effective configuration (but for
//! the instances, which change no answer), of every file of the version and of every file beside the versions (labels,
//! `plugin.toml`), and of this server's own version. Two processes that serve the same files share answers, a process that
//! is started again finds its own, and a file that changes by one byte leaves all of them behind. Rejected: sizes and times
//! of files, which differ between copies of one model and are the same for two that were made on purpose; a number that
//! operators write down, which they forget to change.
//!
//! Costs one listing at load, and reading the files once more when a model caches in a shared store. Files that change
//! while they are loaded have no fingerprint: then nothing is shared.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

use nereid_inference::{ModelConfig, ModelSource};

/// A digest of all that a generation is made of.
pub(crate) type Fingerprint = [u8; blake3::OUT_LEN];

/// Directories below a model that are looked into; ends cycles of symbolic links.
const DEPTH_MAX: usize = 8;

/// Files of one version; beyond them a model is taken for a mistake and not shared.
const FILES_MAX: usize = 10_000;

/// What is read of a file at one time.
const CHUNK_BYTES: usize = 256 << 10;

/// The files that a version was loaded from, as they looked before.
pub(crate) struct VersionFiles {
    source: ModelSource,
    looked: io::Result<BTreeMap<PathBuf, Stamp>>,
    fingerprint: OnceLock<Option<Fingerprint>>,
}

/// What tells one state of a file from another.
type Stamp = (u64, Option<SystemTime>);

/// A mark that no other load of this process has, and no load of another one.
pub(crate) fn unique_mark() -> Vec<u8> {
    static LOADS: AtomicU64 = AtomicU64::new(0);
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let parts = (LOADS.fetch_add(1, Relaxed), std::process::id(), since_epoch.as_nanos());
    format!("load {} of process {} at {}", parts.0, parts.1, parts.2).into_bytes()
}

/// The fingerprint of an ensemble: its configuration and its members' own.
pub(crate) fn of_ensemble(config: &ModelConfig, members: &[Fingerprint]) -> Fingerprint {
    let mut hasher = of_config(config);
    members.iter().for_each(|member| {
        hasher.update(member);
    });
    *hasher.finalize().as_bytes()
}

/// The size of the files that a version is loaded from; 0 where they cannot be listed.
pub(crate) fn files_bytes(source: &ModelSource) -> u64 {
    let files = list(source).unwrap_or_default();
    files.values().map(|(bytes, _)| *bytes).fold(0, u64::saturating_add)
}

// === impl VersionFiles ===

impl VersionFiles {
    /// Looks at the files; to be called before they are loaded.
    pub(crate) fn look(source: &ModelSource) -> Self {
        Self { source: source.clone(), looked: list(source), fingerprint: OnceLock::new() }
    }

    /// The fingerprint; `None` when the files are not those that were loaded, or cannot be read. Reads them the first
    /// time.
    pub(crate) fn fingerprint(&self) -> Option<Fingerprint> {
        *self.fingerprint.get_or_init(|| match self.digest() {
            Ok(fingerprint) => Some(fingerprint),
            Err(problem) => {
                let identity = &self.source.identity;
                tracing::warn!("answers of '{identity}' are not shared with other processes: {problem}");
                None
            }
        })
    }

    fn digest(&self) -> Result<Fingerprint, String> {
        let looked = self.looked.as_ref().map_err(ToString::to_string)?;
        let mut hasher = of_config(&self.source.config);
        for path in looked.keys() {
            let relative = path.strip_prefix(&self.source.model_directory).unwrap_or(path);
            add_field(&mut hasher, relative.as_os_str().as_encoded_bytes());
            let contents = digest_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
            hasher.update(contents.as_bytes());
        }
        let now = list(&self.source).map_err(|error| error.to_string())?;
        if now != *looked {
            return Err("its files have changed since they were loaded".to_owned());
        }
        Ok(*hasher.finalize().as_bytes())
    }
}

fn of_config(config: &ModelConfig) -> blake3::Hasher {
    // What changes no answer is left out. The text of a configuration is the same wherever this very build runs.
    let bare = ModelConfig {
        instance_groups: Vec::new(),
        version_policy: None,
        metric_tags: BTreeMap::new(),
        ..config.clone()
    };
    let mut hasher = blake3::Hasher::new();
    add_field(&mut hasher, env!("CARGO_PKG_VERSION").as_bytes());
    add_field(&mut hasher, format!("{bare:?}").as_bytes());
    hasher
}

fn add_field(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

fn digest_file(path: &Path) -> io::Result<blake3::Hash> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hasher.finalize()),
            length => hasher.update(chunk.get(..length).unwrap_or_default()),
        };
    }
}

/// Every file that a load of the version may read, but for the configuration, with its stamp.
fn list(source: &ModelSource) -> io::Result<BTreeMap<PathBuf, Stamp>> {
    let mut files = BTreeMap::new();
    let mut unexplored = vec![(source.version_directory.clone(), 1)];
    for path in entries(&source.model_directory)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_version = name.bytes().all(|byte| byte.is_ascii_digit());
        if !is_version && name != "config.pbtxt" && name != "configs" {
            unexplored.push((path, 1));
        }
    }
    while let Some((path, depth)) = unexplored.pop() {
        let metadata = match fs::metadata(&path) {
            // An ensemble needs no version directory's files, and a link may lead nowhere: no load reads it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        if metadata.is_dir() {
            if depth > DEPTH_MAX {
                return Err(io::Error::other(format!("{}: too many directories in each other", path.display())));
            }
            unexplored.extend(entries(&path)?.into_iter().map(|path| (path, depth + 1)));
        } else {
            files.insert(path, (metadata.len(), metadata.modified().ok()));
        }
        if files.len() > FILES_MAX {
            return Err(io::Error::other(format!("more than {FILES_MAX} files")));
        }
    }
    Ok(files)
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect()
}

#[cfg(test)]
mod tests {
    use nereid_inference::{LoadClock, ModelIdentity, config::InstanceGroup};
    use tempfile::TempDir;

    use super::*;

    fn model() -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in [("1/m", "one"), ("2/m", "two"), ("labels.txt", "cat"), ("config.pbtxt", "")] {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        directory
    }

    fn source(directory: &TempDir) -> ModelSource {
        ModelSource {
            identity: ModelIdentity::new("m", 1),
            model_directory: directory.path().to_owned(),
            version_directory: directory.path().join("1"),
            config: ModelConfig::default(),
            clock: LoadClock::default(),
        }
    }

    fn fingerprint(directory: &TempDir) -> Option<Fingerprint> {
        VersionFiles::look(&source(directory)).fingerprint()
    }

    /// Whether writing `text` to `path` changes the fingerprint of version 1.
    #[track_caller]
    fn check(path: &str, text: &str, changes: bool) {
        let (one, other) = (model(), model());
        fs::create_dir_all(other.path().join(path).parent().unwrap()).unwrap();
        fs::write(other.path().join(path), text).unwrap();
        let found = (fingerprint(&one).unwrap(), fingerprint(&other).unwrap());
        assert_eq!(found.0 != found.1, changes, "{path}");
    }

    #[test]
    fn copies_of_a_model_have_one_fingerprint_and_a_changed_byte_another() {
        check("1/m", "one", false);
        check("1/m", "onE", true);
        check("1/deep/er", "", true);
        check("labels.txt", "dog", true);
        check("plugin.toml", "", true);
        check("2/m", "other", false);
        check("config.pbtxt", "# a remark", false);
    }

    #[test]
    fn the_configuration_is_in_it_and_the_instances_are_not() {
        let directory = model();
        let with =
            |config: ModelConfig| VersionFiles::look(&ModelSource { config, ..source(&directory) }).fingerprint();
        let plain = with(ModelConfig::default());
        assert_ne!(plain, with(ModelConfig { max_batch_size: 8, ..ModelConfig::default() }));
        let instance_groups = vec![InstanceGroup { count: 3, ..InstanceGroup::default() }];
        assert_eq!(plain, with(ModelConfig { instance_groups, ..ModelConfig::default() }));
    }

    #[test]
    fn files_that_change_while_they_are_loaded_have_none() {
        let directory = model();
        let files = VersionFiles::look(&source(&directory));
        fs::write(directory.path().join("1/m"), "something else").unwrap();
        assert_eq!(files.fingerprint(), None);
    }

    #[test]
    fn members_are_in_it_in_their_order() {
        let config = ModelConfig::default();
        let prints = [of_ensemble(&config, &[[1; 32], [2; 32]]), of_ensemble(&config, &[[2; 32], [1; 32]])];
        assert_ne!(prints[0], prints[1]);
        assert_eq!(prints[0], of_ensemble(&config, &[[1; 32], [2; 32]]));
    }

    #[test]
    fn no_two_loads_have_one_mark() {
        assert_ne!(unique_mark(), unique_mark());
    }
}
