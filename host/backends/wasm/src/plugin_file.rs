//! `plugin.toml` beside `config.pbtxt`: what a plugin's owner asks for.
//!
//! Everything in it is optional, and so is the file. An unknown key, a zero or a number of the wrong kind is an error with
//! line, column and caret; nothing is silently ignored.

use std::{collections::BTreeMap, fs::File, io, io::Read as _, path::Path};

use nereid_inference::InferError;
use serde::Deserialize;

use crate::limits_table::LimitsTable;

/// Its name.
const FILE_NAME: &str = "plugin.toml";

/// Bytes of the largest one.
pub const PLUGIN_FILE_BYTES_MAX: u64 = 1 << 20;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PluginFile {
    pub(crate) limits: LimitsTable,
    pub(crate) grants: GrantsTable,
}

/// `[grants]`: what the plugin wants to reach.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GrantsTable {
    /// Models that it calls; `*` stands for any characters.
    pub(crate) models: Vec<String>,
    /// Models that it loads and unloads.
    pub(crate) model_control: Vec<String>,
    pub(crate) files: Vec<FolderEntry>,
    /// Variables with their values.
    pub(crate) environment: BTreeMap<String, String>,
    /// Variables that it sees with the server's values.
    pub(crate) inherit_environment: Vec<String>,
    pub(crate) secrets: Vec<String>,
    /// Servers that it calls.
    pub(crate) http: Vec<String>,
    /// The same, whose names may stand for addresses of private networks.
    pub(crate) http_private: Vec<String>,
    /// Clocks that run while it computes.
    pub(crate) clocks: bool,
    pub(crate) random_seed: Option<u64>,
}

/// `[[grants.files]]`: a folder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FolderEntry {
    /// Of the machine; relative to the version's directory.
    pub(crate) path: String,
    /// Where the plugin finds it.
    pub(crate) at: String,
    #[serde(default)]
    pub(crate) write: bool,
}

/// The file in `model_directory`, or the empty one.
///
/// # Errors
/// The file cannot be read or says something unknown; the text names file, line and column.
pub(crate) fn read(model_directory: &Path) -> Result<PluginFile, InferError> {
    read_file(&model_directory.join(FILE_NAME))
}

/// That file, or the empty one.
///
/// # Errors
/// As of [`read`].
pub(crate) fn read_file(path: &Path) -> Result<PluginFile, InferError> {
    let origin = path.display();
    match read_text(path, PLUGIN_FILE_BYTES_MAX) {
        Ok(text) => parse(&origin.to_string(), &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(PluginFile::default()),
        Err(error) => {
            Err(InferError::invalid_argument(format!("'{origin}' cannot be read: {error}")).with_source(error))
        }
    }
}

/// A file that is text and has no more than these bytes.
///
/// # Errors
/// It cannot be read, is larger, or is not text in UTF-8.
pub fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {bytes_max} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-8"))
}

pub(crate) fn parse(origin: &str, text: &str) -> Result<PluginFile, InferError> {
    toml::from_str(text).map_err(|error| InferError::invalid_argument(format!("{origin}: {error}")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nereid_plugin::PluginLimits;

    use super::*;

    fn parse_here(text: &str) -> Result<PluginLimits, String> {
        let file = parse("m/plugin.toml", text).map_err(|error| error.message().to_owned())?;
        Ok(file.limits.over(&PluginLimits::DEFAULT))
    }

    #[test]
    fn what_is_not_written_keeps_its_default() {
        assert_eq!(parse_here("").unwrap(), PluginLimits::DEFAULT);
        let limits = parse_here("[limits]\nmemory_mib = 1\ndeadline_ms = 20\ncall_depth = 3\n").unwrap();
        let expected = PluginLimits {
            memory_bytes_max: 1 << 20,
            wall_time_max: Duration::from_millis(20),
            call_depth_max: 3,
            ..PluginLimits::DEFAULT
        };
        assert_eq!(limits, expected);
    }

    #[test]
    fn a_file_that_is_too_large_or_no_text_is_refused_unread() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        assert!(read(folder.path()).unwrap().grants.models.is_empty(), "no file is an empty one");
        for (content, expected) in [
            (vec![b'#'; (PLUGIN_FILE_BYTES_MAX + 1) as usize], "it is larger than 1048576 bytes"),
            (vec![0xff], "it is not text in UTF-8"),
        ] {
            std::fs::write(&path, content).unwrap();
            let error = read(folder.path()).unwrap_err();
            assert_eq!(error.message(), format!("'{}' cannot be read: {expected}", path.display()));
        }
    }

    #[test]
    fn mistakes_are_shown_with_line_and_caret() {
        for (text, line, expected) in [
            ("[limits]\nmemory = 1\n", "2 | memory = 1\n  | ^^^^^^", "unknown field `memory`, expected one of"),
            ("[limit]\n", "1 | [limit]\n  |  ^^^^^", "unknown field `limit`, expected `limits` or `grants`"),
            ("[limits]\n\ncpu_ms = 0\n", "3 | cpu_ms = 0\n  |          ^", "expected a nonzero u64"),
            ("[grants]\nmodel = []\n", "2 | model = []\n  | ^^^^^", "unknown field `model`, expected one of `models`"),
            ("[[grants.files]]\npath = \"x\"\n", "1 | [[grants.files]]\n  | ^^^^^^^^^^^^^^^^", "missing field `at`"),
            ("[limits]\ncpu_ms = \"1s\"\n", "2 | cpu_ms = \"1s\"\n  |          ^^^^", "invalid type: string"),
        ] {
            let error = parse_here(text).unwrap_err();
            assert!(error.starts_with("m/plugin.toml: "), "{error}");
            assert!(error.contains(line) && error.contains(expected), "expected {line:?} and {expected:?} in {error}");
        }
    }
}
