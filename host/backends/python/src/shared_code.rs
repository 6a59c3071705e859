//! Triton's Python-based backends: `BACKENDS/NAME/model.py` is the code of every model whose configuration names the backend NAME.
//!
//! A configuration says so with `runtime: "model.py"`; without a `runtime` the name alone is enough where no other backend has
//! it. The folder's other files are the code's to read, as the model's own folder is, and `pb_exec_env_model.py.tar.gz` in it
//! is the environment of models that name none.

use std::path::{Component, Path, PathBuf};

use nereid_inference::{InferError, ModelConfig};

/// The `runtime` that means code in the backend's folder; also the name of its file.
pub(crate) const RUNTIME: &str = "model.py";

/// The environment that such a backend brings.
const PACKED_ENVIRONMENT: &str = "pb_exec_env_model.py.tar.gz";

/// The folder of a Python-based backend.
#[derive(Clone, Debug)]
pub(crate) struct SharedCode {
    pub(crate) folder: PathBuf,
}

/// Whether the configuration asks for code of a backend's folder, or names a backend that has such a folder.
pub(crate) fn is_meant(config: &ModelConfig, backend_directory: &Path) -> bool {
    match &*config.runtime {
        "" => folder(config, backend_directory).is_ok_and(|folder| folder.join(RUNTIME).is_file()),
        runtime => runtime == RUNTIME,
    }
}

fn folder(config: &ModelConfig, backend_directory: &Path) -> Result<PathBuf, InferError> {
    let ModelConfig { name, backend, .. } = config;
    let refuse = |text: String| Err(InferError::invalid_argument(text));
    if backend.is_empty() {
        return refuse(format!(
            "must specify 'backend' for '{name}': its runtime '{RUNTIME}' is a file of the backend's folder"
        ));
    }
    // A client may write the configuration: the name leads nowhere else.
    let mut components = Path::new(backend).components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(only)), None) if only == backend.as_str() => Ok(backend_directory.join(only)),
        _ => refuse(format!("model '{name}': backend '{backend}' is not the name of a folder in a folder of backends")),
    }
}

// === impl SharedCode ===

impl SharedCode {
    /// The code that the configuration asks for; `None` for a model with a file of its own.
    ///
    /// # Errors
    /// There is none where it should be.
    pub(crate) fn of_model(config: &ModelConfig, backend_directory: &Path) -> Result<Option<Self>, InferError> {
        if config.runtime.is_empty() && matches!(&*config.backend, "" | "python") {
            return Ok(None);
        }
        let folder = folder(config, backend_directory)?;
        let file = folder.join(RUNTIME);
        if file.is_file() {
            return Ok(Some(Self { folder }));
        }
        Err(InferError::invalid_argument(format!(
            "unable to find Python backend based backend library '{RUNTIME}' for model '{}', searched: '{}'; put it there, or \
             name the folder of backends with --backend-directory=DIR",
            config.name,
            file.display()
        )))
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join(RUNTIME)
    }

    /// The packed environment in the folder, if there is one.
    pub(crate) fn environment(&self) -> Option<PathBuf> {
        Some(self.folder.join(PACKED_ENVIRONMENT)).filter(|packed| packed.is_file())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn config(backend: &str, runtime: &str) -> ModelConfig {
        ModelConfig { name: "m".into(), backend: backend.into(), runtime: runtime.into(), ..ModelConfig::default() }
    }

    /// A folder of backends with `vllm/model.py`.
    fn backends() -> tempfile::TempDir {
        let backends = tempfile::tempdir().unwrap();
        fs::create_dir(backends.path().join("vllm")).unwrap();
        fs::write(backends.path().join("vllm").join(RUNTIME), "").unwrap();
        backends
    }

    #[test]
    fn a_backends_folder_is_found_by_runtime_and_by_name() {
        let backends = backends();
        let is_found = |backend, runtime| {
            let (config, folder) = (config(backend, runtime), backends.path());
            let code = is_meant(&config, folder).then(|| SharedCode::of_model(&config, folder).unwrap().unwrap());
            code.map(|code| code.file() == folder.join("vllm/model.py"))
        };
        assert_eq!(is_found("vllm", "model.py"), Some(true));
        assert_eq!(is_found("vllm", ""), Some(true));
        assert_eq!(is_found("vllm", "libtriton_vllm.so"), None);
        assert_eq!(is_found("other", ""), None);
        assert!(SharedCode::of_model(&config("python", ""), backends.path()).unwrap().is_none());
    }

    #[test]
    fn what_is_not_there_is_refused_with_the_place_that_was_searched() {
        let backends = backends();
        let refused = |backend: &str, expected: &str| {
            let config = config(backend, RUNTIME);
            assert!(is_meant(&config, backends.path()));
            let error = SharedCode::of_model(&config, backends.path()).unwrap_err();
            assert!(error.message().starts_with(expected), "{error}");
        };
        let searched = backends.path().join("trt/model.py");
        refused(
            "trt",
            &format!(
                "unable to find Python backend based backend library 'model.py' for model 'm', searched: '{}'",
                searched.display()
            ),
        );
        refused("", "must specify 'backend' for 'm'");
        for outside in ["..", "../vllm", "vllm/..", "/etc", "./vllm", "vllm/"] {
            refused(outside, &format!("model 'm': backend '{outside}' is not the name of a folder"));
        }
    }
}
