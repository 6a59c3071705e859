//! A model's file: which one it is, whether it may be opened, and opening it.
//!
//! A TorchScript file is data, and LibTorch's interpreter computes. An AOTInductor package (`.pt2`) is a library: whoever may
//! write it may do whatever the server may. It is opened only below a folder that the operator trusts by name, links
//! followed, and only where it was compiled for.

use std::path::{Path, PathBuf};

use nereid_gpu::Gpus;
use nereid_inference::{InferError, ModelConfig, config::InstanceKind};

use crate::{
    devices,
    failure::sentence,
    ffi::{Model, Place, Torch},
    library::{PytorchSettings, torch},
    settings::ModelSettings,
};

/// The file in a version directory when the configuration names none.
pub(crate) const DEFAULT_FILENAME: &str = "model.pt";

/// The same, for packages.
const DEFAULT_PACKAGE_FILENAME: &str = "model.pt2";

/// Triton's word for packages.
const AOTI_PLATFORM: &str = "torch_aoti";

/// A file, and how it is opened.
pub(crate) struct ModelFile {
    pub(crate) torch: &'static Torch,
    model_name: String,
    path: PathBuf,
    kind: FileKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileKind {
    TorchScript {
        inference_mode: bool,
    },
    /// An AOTInductor package, and whether it was compiled for CUDA.
    Package {
        is_for_cuda: bool,
    },
}

/// The file's name in a version directory. The loader does not know of packages and fills in a TorchScript file's.
pub(crate) fn file_name(config: &ModelConfig) -> &str {
    match config.default_model_filename.as_str() {
        "" | DEFAULT_FILENAME if config.platform == AOTI_PLATFORM => DEFAULT_PACKAGE_FILENAME,
        "" => DEFAULT_FILENAME,
        file_name => file_name,
    }
}

// === impl ModelFile ===

impl ModelFile {
    /// The file that the configuration means.
    ///
    /// # Errors
    /// It is not there, may not be opened, or the library is missing.
    pub(crate) fn find(
        settings: &PytorchSettings,
        gpus: &Gpus,
        config: &ModelConfig,
        version_directory: &Path,
    ) -> Result<Self, InferError> {
        let is_aoti = config.platform == AOTI_PLATFORM;
        let file_name = file_name(config);
        let is_package = is_aoti || Path::new(file_name).extension().is_some_and(|extension| extension == "pt2");
        let mut path = version_directory.join(file_name);
        if is_package {
            path = trusted(&path, &settings.trusted_folders).ok_or_else(|| untrusted(config))?;
        }
        if !path.is_file() {
            let (name, path) = (&config.name, path.display());
            return Err(InferError::not_found(format!("model '{name}': the model file {path} does not exist")));
        }
        let torch = torch(settings, gpus, &config.name)?;
        let inference_mode = ModelSettings::from_config(config)?.inference_mode;
        let (model_name, kind) = (config.name.clone(), FileKind::TorchScript { inference_mode });
        let mut file = Self { torch, model_name, path, kind };
        if is_package {
            let is_for_cuda = torch.is_package_for_cuda(&file.path).map_err(|text| file.refused(&text))?;
            file.kind = FileKind::Package { is_for_cuda };
        }
        Ok(file)
    }

    /// Where the file is opened to see what is in it.
    ///
    /// # Errors
    /// It was compiled for devices, and there are none.
    pub(crate) fn first_place(&self, gpus: &Gpus, config: &ModelConfig) -> Result<Place, InferError> {
        if self.kind != (FileKind::Package { is_for_cuda: true }) {
            return Ok(Place::Cpu);
        }
        let groups = config.instance_groups.iter().filter(|group| group.kind == InstanceKind::Gpu);
        let written = groups.flat_map(|group| group.gpus.first().copied()).next();
        let ordinal = written.or_else(|| gpus.all().first().map(|gpu| gpu.ordinal())).unwrap_or_default();
        let device = devices::device(gpus, self.torch, ordinal).map_err(|problem| {
            let (name, path) = (&self.model_name, self.path.display());
            InferError::unsupported(format!("model '{name}': {path} was compiled for CUDA, and {problem}"))
        });
        device.map(|gpu| Place::Cuda(gpu.ordinal()))
    }

    /// The place as the file takes it: a package has been compiled for one.
    ///
    /// # Errors
    /// An instance elsewhere.
    pub(crate) fn place(&self, place: Place) -> Result<Place, InferError> {
        let FileKind::Package { is_for_cuda } = self.kind else { return Ok(place) };
        match (is_for_cuda, place) {
            (false, Place::Cpu | Place::AsSaved) => Ok(Place::Cpu),
            (true, Place::Cuda(_)) => Ok(place),
            _ => {
                let (compiled_for, kind) = if is_for_cuda { ("CUDA", "KIND_GPU") } else { ("the CPU", "KIND_CPU") };
                let (name, path) = (&self.model_name, self.path.display());
                Err(InferError::unsupported(format!(
                    "model '{name}': {path} was compiled for {compiled_for}, and an instance of it is elsewhere; use kind: {kind}"
                )))
            }
        }
    }

    /// Opens it.
    ///
    /// # Errors
    /// LibTorch's own words, behind the file.
    pub(crate) fn open(&self, place: Place) -> Result<Model, InferError> {
        let opened = match self.kind {
            FileKind::TorchScript { inference_mode } => self.torch.load_model(&self.path, place, inference_mode),
            FileKind::Package { .. } => self.torch.load_package(&self.path, place),
        };
        opened.map_err(|text| self.refused(&text))
    }

    /// What a configuration has to say that the file does not.
    pub(crate) fn undescribed(&self, arguments: &str) -> InferError {
        let file = match self.kind {
            FileKind::TorchScript { .. } => "a TorchScript file",
            FileKind::Package { .. } => "an AOTInductor package",
        };
        InferError::invalid_argument(format!(
            "model '{}': {file} does not say the types and shapes of its tensors; write input and output into config.pbtxt. \
             Its forward takes {arguments}",
            self.model_name
        ))
    }

    fn refused(&self, text: &str) -> InferError {
        tracing::debug!("model '{}': LibTorch cannot load {}: {text}", self.model_name, self.path.display());
        let (name, path, sentence) = (&self.model_name, self.path.display(), sentence(text));
        InferError::invalid_argument(format!("model '{name}': LibTorch cannot load {path}: {sentence}"))
    }
}

/// The file without links, where it lies below one of the folders; a file that does not exist lies where its folder does.
fn trusted(path: &Path, folders: &[PathBuf]) -> Option<PathBuf> {
    let folder = path.parent()?.canonicalize().ok()?;
    let real = path.canonicalize().unwrap_or_else(|_| folder.join(path.file_name().unwrap_or_default()));
    let is_below = |trusted: &PathBuf| trusted.canonicalize().is_ok_and(|trusted| real.starts_with(trusted));
    folders.iter().any(is_below).then_some(real)
}

fn untrusted(config: &ModelConfig) -> InferError {
    InferError::unsupported(format!(
        "model '{}': AOTInductor packages (.pt2) are native code, and served from folders that the operator trusts alone, of which \
         this is none; name its repository with --backend-config=pytorch,trusted-folder=PATH, or save the model as TorchScript \
         (torch.jit.script, torch.jit.trace) or as ONNX",
        config.name
    ))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn trust_is_of_folders_and_does_not_follow_links_out_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let (inside, outside) = (root.join("trusted/m/1"), root.join("other/1"));
        fs::create_dir_all(&inside).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(inside.join("model.pt2"), "x").unwrap();
        fs::write(outside.join("model.pt2"), "x").unwrap();
        symlink(outside.join("model.pt2"), inside.join("linked.pt2")).unwrap();
        symlink(inside.join("model.pt2"), outside.join("linked.pt2")).unwrap();
        symlink(root.join("trusted"), root.join("link")).unwrap();
        let check = |path: PathBuf, expected: Option<&str>| {
            let folders = [root.join("link"), root.join("absent")];
            assert_eq!(trusted(&path, &folders), expected.map(|name| inside.join(name)), "{}", path.display());
        };
        check(inside.join("model.pt2"), Some("model.pt2"));
        check(inside.join("absent.pt2"), Some("absent.pt2"));
        check(outside.join("linked.pt2"), Some("model.pt2"));
        check(outside.join("model.pt2"), None);
        check(inside.join("linked.pt2"), None);
        check(inside.join("../../../other/1/model.pt2"), None);
        check(root.join("trustedly/model.pt2"), None);
        assert_eq!(trusted(&inside.join("model.pt2"), &[]), None);
    }
}
