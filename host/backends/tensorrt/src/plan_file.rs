//! A plan on disk: which of a version's files it is, and what its first bytes say before TensorRT is asked.
//!
//! The header is what `trtexec --getPlanVersionOnly` reads: a tag, the version of the serialisation, and at byte 24 the four
//! numbers of the TensorRT that made the plan. It is written since TensorRT 8.6.

use std::{fmt, fs, path::PathBuf};

use nereid_inference::{InferError, ModelSource};

/// The file in a version directory when the configuration names none.
pub(crate) const DEFAULT_FILENAME: &str = "model.plan";

const TAG: &[u8] = b"ftrt";

/// Where the numbers of the version stand, in the one serialisation that is known.
const VERSION_OFFSET: usize = 24;
const HEADER_BYTES: usize = VERSION_OFFSET + 4;

/// A version of TensorRT: major, minor, patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version(pub(crate) u32, pub(crate) u32, pub(crate) u32);

/// A plan in memory.
#[derive(Debug)]
pub(crate) struct PlanFile {
    /// As shown in errors.
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    /// What made it; `None` for a serialisation that is not known here.
    pub(crate) version: Option<Version>,
}

// === impl Version ===

impl Version {
    /// Of TensorRT's one number for it.
    pub(crate) fn of_number(number: i32) -> Self {
        let number = u32::try_from(number).unwrap_or_default();
        Self(number / 10_000, number / 100 % 100, number % 100)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

// === impl PlanFile ===

impl PlanFile {
    /// Reads the version's plan for a device of this compute capability.
    ///
    /// # Errors
    /// No such file, or a file that is no plan.
    pub(crate) fn read(source: &ModelSource, compute_capability: Option<(i32, i32)>) -> Result<Self, InferError> {
        let name = &source.config.name;
        let path = source.version_directory.join(file_name(source, compute_capability));
        let shown = path.display();
        if !path.is_file() {
            return Err(InferError::not_found(format!("model '{name}': the plan {shown} does not exist")));
        }
        let bytes = fs::read(&path).map_err(|error| {
            InferError::internal(format!("model '{name}': the plan {shown} cannot be read: {error}"))
        })?;
        let version = version_of(&bytes).map_err(|text| {
            InferError::invalid_argument(format!("model '{name}': {shown} is no TensorRT plan: {text}"))
        })?;
        Ok(Self { path, bytes, version })
    }

    /// Refuses what this library cannot read whatever it is told.
    ///
    /// # Errors
    /// Both versions, and what to do.
    pub(crate) fn check(&self, library: Version) -> Result<(), String> {
        match self.version {
            Some(made) if made.0 != library.0 => Err(format!(
                "{} was made by TensorRT {made} and the library here is {library}: build the engine again with TensorRT {}, or \
                 install TensorRT {}",
                self.path.display(),
                library.0,
                made.0
            )),
            _ => Ok(()),
        }
    }

    /// What is likely behind a refusal of the library, for the end of its text.
    pub(crate) fn suspicion(&self, library: Version) -> String {
        match self.version {
            Some(made) if made != library => format!(
                "; the plan was made by TensorRT {made} and the library here is {library}: build the engine again with this one, \
                 or as a version-compatible engine and start the server with --backend-config=tensorrt,version-compatible=true"
            ),
            Some(_) => "; the plan was made by this version, so it was perhaps made for another kind of GPU".to_owned(),
            None => String::new(),
        }
    }
}

/// `cc_model_filenames` names files by compute capability, as `8.0`.
fn file_name(source: &ModelSource, compute_capability: Option<(i32, i32)>) -> &str {
    let config = &source.config;
    let key = compute_capability.map(|(major, minor)| format!("{major}.{minor}"));
    match key.and_then(|key| config.cc_model_filenames.get(&key)) {
        Some(named) => named,
        None if config.default_model_filename.is_empty() => DEFAULT_FILENAME,
        None => &config.default_model_filename,
    }
}

/// The version in the header, `None` for another serialisation.
fn version_of(bytes: &[u8]) -> Result<Option<Version>, String> {
    let Some(header) = bytes.get(..HEADER_BYTES) else {
        return Err(format!("it has {} bytes, and the header alone has {HEADER_BYTES}", bytes.len()));
    };
    if !header.starts_with(TAG) {
        return Err(format!("it does not start with the tag of plans{}", kind_of(header)));
    }
    let is_known = header.get(TAG.len()..TAG.len() + 4) == Some(&[0; 4]);
    let [.., major, minor, patch, _build] = header else { return Ok(None) };
    Ok(is_known.then(|| Version(u32::from(*major), u32::from(*minor), u32::from(*patch))))
}

/// What else it is, as far as the first bytes tell.
fn kind_of(header: &[u8]) -> &'static str {
    match header {
        [b'P', b'K', 3, 4, ..] => "; it is an archive, perhaps a TorchScript model, which the backend pytorch serves",
        [0x08, ..] => "; it is perhaps an ONNX model, which the backend onnxruntime serves",
        [b'{', ..] => "; it begins like JSON, perhaps because an exporter put its own description in front of the plan",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use nereid_inference::{ErrorKind, LoadClock, ModelConfig, ModelIdentity};

    use super::*;

    /// A header of the known serialisation, and something behind it.
    fn plan(version: [u8; 4]) -> Vec<u8> {
        [b"ftrt".as_slice(), &[0; 20], &version, b"the rest"].concat()
    }

    fn source(files: &[(&str, &[u8])]) -> (tempfile::TempDir, ModelSource) {
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(directory.path().join(name), bytes).unwrap();
        }
        let source = ModelSource {
            identity: ModelIdentity::new("m", 1),
            model_directory: directory.path().into(),
            version_directory: directory.path().into(),
            config: ModelConfig { name: "m".into(), ..ModelConfig::default() },
            clock: LoadClock::default(),
        };
        (directory, source)
    }

    fn refusal(bytes: &[u8]) -> String {
        let (_directory, source) = source(&[("model.plan", bytes)]);
        PlanFile::read(&source, None).unwrap_err().message().to_owned()
    }

    #[test]
    fn the_header_says_what_made_the_plan() {
        let (_directory, source) = source(&[("model.plan", &plan([11, 4, 0, 106]))]);
        assert_eq!(PlanFile::read(&source, None).unwrap().version, Some(Version(11, 4, 0)));
        let mut other_serialisation = plan([11, 4, 0, 106]);
        other_serialisation[4] = 1;
        assert_eq!(version_of(&other_serialisation), Ok(None));
    }

    #[test]
    fn a_file_that_is_no_plan_is_refused_with_what_it_seems_to_be() {
        assert!(refusal(b"ftrt").ends_with("is no TensorRT plan: it has 4 bytes, and the header alone has 28"));
        assert!(refusal(&[0xff; 64]).ends_with("it does not start with the tag of plans"));
        let archive = [b"PK\x03\x04".as_slice(), &[0; 60]].concat();
        assert!(refusal(&archive).ends_with("perhaps a TorchScript model, which the backend pytorch serves"));
        assert!(refusal(&[8; 64]).ends_with("perhaps an ONNX model, which the backend onnxruntime serves"));
        assert!(refusal(&[b'{'; 64]).contains("begins like JSON"));
    }

    #[test]
    fn another_major_version_is_refused_before_the_library_sees_the_plan() {
        let (_directory, source) = source(&[("model.plan", &plan([10, 16, 1, 0]))]);
        let file = PlanFile::read(&source, None).unwrap();
        let text = file.check(Version(11, 4, 0)).unwrap_err();
        let expected = "was made by TensorRT 10.16.1 and the library here is 11.4.0: build the engine again with TensorRT 11, or \
                        install TensorRT 10";
        assert!(text.ends_with(expected), "{text}");
        assert_eq!(file.check(Version(10, 3, 0)), Ok(()));
        assert!(file.suspicion(Version(10, 3, 0)).contains("version-compatible=true"));
        assert!(file.suspicion(Version(10, 16, 1)).ends_with("for another kind of GPU"));
    }

    #[test]
    fn a_device_has_its_own_file_where_one_is_named() {
        let (first, second) = (plan([11, 4, 0, 1]), plan([11, 3, 0, 1]));
        let (directory, mut source) = source(&[("hopper.plan", &first), ("other.plan", &second)]);
        source.config.default_model_filename = "other.plan".into();
        source.config.cc_model_filenames.insert("9.0".into(), "hopper.plan".into());
        let version = |capability| PlanFile::read(&source, capability).unwrap().version;
        assert_eq!(version(Some((9, 0))), Some(Version(11, 4, 0)));
        assert_eq!(version(Some((8, 0))), Some(Version(11, 3, 0)));
        assert_eq!(version(None), Some(Version(11, 3, 0)));
        fs::remove_file(directory.path().join("other.plan")).unwrap();
        let error = PlanFile::read(&source, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.message().ends_with("other.plan does not exist"), "{error}");
    }

    #[test]
    fn numbers_of_versions_are_tensorrts() {
        assert_eq!(Version::of_number(110_400), Version(11, 4, 0));
        assert_eq!(Version::of_number(101_601).to_string(), "10.16.1");
    }
}
