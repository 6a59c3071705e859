//! What a load is made from: a directory as it looks now, and what a client sent in place of what lies there.
//!
//! Two sources of one model tell which of its versions must be loaded again. A file that was written within one tick of
//! the file system's clock before it was looked at may be written again unseen; it counts as changed.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use nereid_inference::{AgentedLoad, InferError, LoadOverrides, ModelConfig};

use crate::{
    RepositoryLimits, config_file,
    override_files::{OverrideFiles, OverrideUse},
    snapshot::{self, ModelFiles, Stamp},
};

/// Twice the longest tick that Linux has, 10 ms.
const CLOCK_TICK_MAX: Duration = Duration::from_millis(20);

/// Where a model is loaded from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) directory: PathBuf,
    /// Where its configuration is, or would be.
    pub(crate) config_path: PathBuf,
    pub(crate) given: Option<Arc<Given>>,
    /// In no repository: when it is unloaded, nothing of it is left.
    pub(crate) is_ephemeral: bool,
    /// Agents have agreed to the load, and may have put something else in the directory's place.
    pub(crate) agents: Option<Arc<dyn AgentedLoad>>,
    files: ModelFiles,
    looked: SystemTime,
}

/// What a client sent.
#[derive(Debug)]
pub(crate) struct Given {
    /// As written.
    pub(crate) config: ModelConfig,
    pub(crate) files: Option<OverrideFiles>,
}

/// Which versions a file is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    One(u64),
    /// What lies beside the versions, for example labels.
    All,
    /// Read anew with every load, and compared by what it says.
    Config,
}

// === impl Given ===

impl Given {
    /// Understands what a client sent for the model called `name`; `None` when that is nothing.
    ///
    /// # Errors
    /// A configuration that is none, files without one, or files that are not allowed.
    pub(crate) fn read(
        name: &str,
        sent: LoadOverrides,
        used: &Arc<OverrideUse>,
        limits: &RepositoryLimits,
    ) -> Result<Option<Self>, InferError> {
        if sent.is_empty() {
            return Ok(None);
        }
        let Some(config) = sent.config else {
            let text = "Load parameter 'config' must be specified for model file override";
            return Err(InferError::invalid_argument(text));
        };
        let config = parse_config(&config, name, limits)?;
        match sent.files.is_empty() {
            true => Ok(Some(Self { config, files: None })),
            false => Self::of_files(config, &sent.files, used, limits).map(Some),
        }
    }

    /// A model that is made of these files.
    ///
    /// # Errors
    /// They are not allowed, or cannot be written.
    pub(crate) fn of_files(
        config: ModelConfig,
        files: &BTreeMap<String, Bytes>,
        used: &Arc<OverrideUse>,
        limits: &RepositoryLimits,
    ) -> Result<Self, InferError> {
        Ok(Self { config, files: Some(OverrideFiles::write(files, used, limits)?) })
    }
}

/// The configuration that a client sent for the model called `name`.
///
/// # Errors
/// It is too long, is none, or is another model's.
pub(crate) fn parse_config(json: &str, name: &str, limits: &RepositoryLimits) -> Result<ModelConfig, InferError> {
    let (bytes, bytes_max) = (json.len(), limits.override_config_bytes_max);
    if bytes > bytes_max {
        let text = format!("Invalid config override: it has {bytes} bytes, expected at most {bytes_max}");
        return Err(InferError::resource_exhausted(text));
    }
    let config = nereid_config::parse_json(json)
        .map_err(|error| InferError::invalid_argument(format!("Invalid config override: {error}")))?;
    config_file::check_name(&config, name)?;
    Ok(config)
}

// === impl Source ===

impl Source {
    /// A directory of a repository as it looks now.
    pub(crate) fn look(directory: PathBuf, config_name: Option<&str>, given: Option<Arc<Given>>) -> Self {
        let looked = SystemTime::now();
        let files = snapshot::model_files(std::slice::from_ref(&directory));
        let config_path = config_file::path(&directory, config_name);
        Self { directory, config_path, given, is_ephemeral: false, agents: None, files, looked }
    }

    /// What the model is loaded from.
    pub(crate) fn served_directory(&self) -> &Path {
        self.agents.as_deref().map_or(&self.directory, AgentedLoad::directory)
    }

    /// Whether it has files of its own in place of a repository's.
    pub(crate) fn has_files(&self) -> bool {
        self.given.as_ref().is_some_and(|given| given.files.is_some())
    }

    /// Whether nothing at all has changed since `earlier`.
    pub(crate) fn is_same(&self, earlier: &Self) -> bool {
        let given_same = match (&self.given, &earlier.given) {
            (None, None) => true,
            (Some(given), Some(before)) => Arc::ptr_eq(given, before),
            _ => false,
        };
        given_same && self.directory == earlier.directory && self.is_same_in(earlier, |_| true)
    }

    /// Whether `version` is made of the files that it was made of in `earlier`. What agents made is never the same.
    pub(crate) fn is_same_for(&self, earlier: &Self, version: u64) -> bool {
        self.agents.is_none()
            && earlier.agents.is_none()
            && self.directory == earlier.directory
            && self.is_same_in(earlier, |part| part == Part::All || part == Part::One(version))
    }

    /// Whether the configuration that was sent still counts: nobody has touched the file that it replaces.
    pub(crate) fn keeps_config(&self, earlier: &Self) -> bool {
        let stamp = |source: &Self| source.files.get(&source.config_path).copied();
        self.config_path == earlier.config_path && stamp(self) == stamp(earlier)
    }

    fn is_same_in(&self, earlier: &Self, counts: impl Fn(Part) -> bool) -> bool {
        let of = |source: &Self| -> Vec<(PathBuf, Stamp)> {
            let files = source.files.iter().filter(|(path, _)| part(&source.directory, path).is_some_and(&counts));
            files.map(|(path, stamp)| (path.clone(), *stamp)).collect()
        };
        let (now, before) = (of(self), of(earlier));
        now == before && !before.iter().any(|(_, stamp)| earlier.may_have_missed(*stamp))
    }

    fn may_have_missed(&self, stamp: Stamp) -> bool {
        match stamp {
            Stamp::File { modified: Some(modified), .. } => modified + CLOCK_TICK_MAX > self.looked,
            Stamp::File { modified: None, .. } | Stamp::Unreadable => true,
            Stamp::Directory => false,
        }
    }
}

/// `None` for what no load reads.
fn part(directory: &Path, path: &Path) -> Option<Part> {
    let first = path.strip_prefix(directory).ok()?.components().next()?.as_os_str().to_str()?;
    match first {
        config_file::CONFIG_FILE | config_file::CONFIG_DIRECTORY => Some(Part::Config),
        version if version.bytes().all(|byte| byte.is_ascii_digit()) => version.parse().ok().map(Part::One),
        _ => Some(Part::All),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use tempfile::TempDir;

    use super::*;

    /// A model's directory in which every file was written at `seconds`.
    fn model(files: &[(&str, u64)]) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        files.iter().for_each(|(path, seconds)| touch(&directory, path, *seconds));
        directory
    }

    fn touch(directory: &TempDir, path: &str, seconds: u64) {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        File::create(path).unwrap().set_modified(time).unwrap();
    }

    fn look(directory: &TempDir) -> Source {
        Source::look(directory.path().to_owned(), None, None)
    }

    const FILES: [(&str, u64); 5] =
        [("config.pbtxt", 9), ("labels.txt", 9), ("1/m", 9), ("2/m", 9), ("configs/other.pbtxt", 9)];

    /// Which of the versions 1 and 2 are the same after `path` was touched, and whether everything is.
    #[track_caller]
    fn check(path: &str, expected: (bool, bool, bool)) {
        let directory = model(&FILES);
        let before = look(&directory);
        touch(&directory, path, 10);
        let now = look(&directory);
        let found = (now.is_same_for(&before, 1), now.is_same_for(&before, 2), now.is_same(&before));
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn a_version_is_its_own_files_and_those_beside_the_versions() {
        check("1/m", (false, true, false));
        check("2/new/file", (true, false, false));
        check("labels.txt", (false, false, false));
        check("plugin.toml", (false, false, false));
        check("config.pbtxt", (true, true, false));
        check("configs/mine.pbtxt", (true, true, false));
        check("3/m", (true, true, false));
        check("src/lib.rs", (true, true, true));
        check("1/src/m", (false, true, false));
    }

    #[test]
    fn nothing_touched_is_nothing_changed_unless_it_was_written_just_now() {
        let directory = model(&FILES);
        assert!(look(&directory).is_same(&look(&directory)));
        fs::write(directory.path().join("1/m"), "now").unwrap();
        assert!(!look(&directory).is_same(&look(&directory)));
    }

    #[test]
    fn a_configuration_that_was_sent_counts_until_the_file_is_touched() {
        let directory = model(&FILES);
        let before = look(&directory);
        touch(&directory, "2/m", 10);
        assert!(look(&directory).keeps_config(&before));
        touch(&directory, "config.pbtxt", 8);
        assert!(!look(&directory).keeps_config(&before));
    }
}
