//! How a process is started: which interpreter, with which files and which environment.
//!
//! The runner's own Python files are part of this program and written to a folder of the backend's. Each process has a
//! folder of its own besides, which is its home, its place for temporary files and its working directory, and is gone with
//! it. Of the server's environment it gets what programs need to run, and what the configuration names.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::Arc,
};

use nereid_inference::{InferError, config::InstanceKind};
use tempfile::TempDir;

use crate::{
    execution_environment::Environment,
    files_allowed::{DEVICES, GPU_PATHS, NETWORK_PATHS, SYSTEM_PATHS},
    launcher::{LAUNCH_VERB, LaunchSpec, Rights},
    settings::Confinement,
    shared_code::SharedCode,
};

/// The runner, file by file.
const FILES: [(&str, &str); 12] = [
    ("triton_python_backend_utils.py", include_str!("../runner/triton_python_backend_utils.py")),
    ("nereid_runner/__init__.py", include_str!("../runner/nereid_runner/__init__.py")),
    ("nereid_runner/__main__.py", include_str!("../runner/nereid_runner/__main__.py")),
    ("nereid_runner/dlpack.py", include_str!("../runner/nereid_runner/dlpack.py")),
    ("nereid_runner/errors.py", include_str!("../runner/nereid_runner/errors.py")),
    ("nereid_runner/host.py", include_str!("../runner/nereid_runner/host.py")),
    ("nereid_runner/loop.py", include_str!("../runner/nereid_runner/loop.py")),
    ("nereid_runner/model_config.py", include_str!("../runner/nereid_runner/model_config.py")),
    ("nereid_runner/requests.py", include_str!("../runner/nereid_runner/requests.py")),
    ("nereid_runner/responses.py", include_str!("../runner/nereid_runner/responses.py")),
    ("nereid_runner/tensors.py", include_str!("../runner/nereid_runner/tensors.py")),
    ("nereid_runner/wire.py", include_str!("../runner/nereid_runner/wire.py")),
];

/// Variables that programs need, or that say how many threads their libraries take.
const ENVIRONMENT: [&str; 14] = [
    "PATH",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "LD_LIBRARY_PATH",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "SSL_CERT_FILE",
];

/// What the interpreter is told: no buffers, no files beside the model's, and the runner as a program.
const ARGUMENTS: [&str; 4] = ["-u", "-B", "-m", "nereid_runner"];

/// Also when the file was replaced since the server began.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// How the processes of one model are started.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) interpreter: PathBuf,
    /// What the operator or the model called it, for messages.
    pub(crate) origin: String,
    pub(crate) confinement: Confinement,
    /// The runner's files.
    pub(crate) runner: Arc<TempDir>,
    pub(crate) model_directory: PathBuf,
    /// The code that models share.
    pub(crate) shared_code: Option<SharedCode>,
    /// Where the interpreter is, when the model brings it.
    pub(crate) environment: Option<Environment>,
}

/// A process's own folder.
#[derive(Debug)]
pub(crate) struct Workspace(TempDir);

/// Writes the runner's files into a folder of their own.
pub(crate) fn write_runner() -> io::Result<TempDir> {
    let folder = private_folder("nereid-python-")?;
    fs::create_dir(folder.path().join("nereid_runner"))?;
    for (name, text) in FILES {
        fs::write(folder.path().join(name), text)?;
    }
    Ok(folder)
}

/// For nobody but the server's user.
pub(crate) fn private_folder(prefix: &str) -> io::Result<TempDir> {
    tempfile::Builder::new().prefix(prefix).tempdir()
}

// === impl Launch ===

impl Launch {
    pub(crate) fn workspace(&self) -> Result<Workspace, InferError> {
        let made = private_folder("nereid-python-model-");
        made.map(Workspace).map_err(|error| {
            InferError::internal(format!(
                "cannot make a folder for a Python process in {}: {error}",
                env::temp_dir().display()
            ))
        })
    }

    /// The command that runs a model of this kind in that folder: this program first, which gives rights away.
    pub(crate) fn command(&self, workspace: &Workspace, kind: InstanceKind) -> Result<Command, InferError> {
        let workspace = workspace.0.path();
        let mut command = match self.confinement.is_on {
            false => {
                let mut command = Command::new(&self.interpreter);
                command.args(ARGUMENTS);
                command
            }
            true => {
                let specification = LaunchSpec {
                    parent: i32::try_from(process::id()).unwrap_or_default(),
                    program: self.interpreter.clone(),
                    arguments: ARGUMENTS.map(str::to_owned).to_vec(),
                    rights: self.rights(workspace, kind),
                };
                let specification = serde_json::to_string(&specification).map_err(|error| {
                    InferError::invalid_argument(format!(
                        "a Python process needs paths in UTF-8 to be confined: {error}"
                    ))
                })?;
                let mut command = Command::new(THIS_PROGRAM);
                command.args([LAUNCH_VERB, &specification]);
                command
            }
        };
        command.current_dir(workspace);
        self.set_environment(&mut command, workspace);
        Ok(command)
    }

    fn rights(&self, workspace: &Path, kind: InstanceKind) -> Rights {
        let Confinement { network, processes, file_size_bytes, open_files, .. } = self.confinement;
        let address_space_bytes = self.confinement.address_space_of(kind);
        let mut read_paths: Vec<PathBuf> = SYSTEM_PATHS.iter().map(PathBuf::from).collect();
        if network {
            read_paths.extend(NETWORK_PATHS.iter().map(PathBuf::from));
        }
        read_paths.extend([self.runner.path().to_owned(), self.model_directory.clone()]);
        read_paths.extend(self.shared_code.iter().map(|code| code.folder.clone()));
        read_paths.extend(installation(&self.interpreter));
        read_paths.extend(self.environment.iter().map(|environment| environment.folder.clone()));
        read_paths
            .extend(env::var_os("PYTHONPATH").iter().flat_map(env::split_paths).filter(|path| path.is_absolute()));
        read_paths.extend(user_base());
        read_paths.extend(self.confinement.read_paths.iter().cloned());
        let mut write_paths: Vec<PathBuf> = DEVICES.iter().map(PathBuf::from).collect();
        write_paths.push(workspace.to_owned());
        write_paths.extend(self.confinement.write_paths.iter().cloned());
        if kind == InstanceKind::Gpu {
            write_paths.extend(gpu_devices());
            // CUDA gives its threads names, and gives up where it may not.
            write_paths.push("/proc/self/task".into());
            read_paths.extend(GPU_PATHS.iter().map(PathBuf::from));
        }
        let gpu = kind == InstanceKind::Gpu;
        Rights { read_paths, write_paths, network, processes, gpu, address_space_bytes, file_size_bytes, open_files }
    }

    fn set_environment(&self, command: &mut Command, workspace: &Path) {
        let named = &self.confinement.environment;
        if !named.iter().any(|name| name == "*") && self.confinement.is_on {
            let kept = |name: &&str| !name.is_empty();
            let names = ENVIRONMENT.into_iter().chain(named.iter().map(String::as_str)).filter(kept);
            let values: Vec<(&str, OsString)> = names.filter_map(|name| Some((name, env::var_os(name)?))).collect();
            command.env_clear().envs(values);
        }
        let inherited = env::var_os("PYTHONPATH");
        let paths = std::iter::once(self.runner.path().to_owned()).chain(inherited.iter().flat_map(env::split_paths));
        if let Ok(python_path) = env::join_paths(paths) {
            command.env("PYTHONPATH", python_path);
        }
        if let Some(user_base) = user_base() {
            command.env("PYTHONUSERBASE", user_base);
        }
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        if self.confinement.is_on {
            command.env("HOME", workspace).env("TMPDIR", workspace);
        }
    }

    /// Why the interpreter did not start.
    pub(crate) fn cannot_run(&self, error: &io::Error) -> InferError {
        InferError::unavailable(format!(
            "Python models need an interpreter with numpy, and {} cannot be run: {error}; install one (apt-get install \
             python3-numpy), or name it with --backend-config=python,python-executable=PATH",
            self.origin
        ))
    }
}

/// The folders of an interpreter: its virtual environment, and what that was made from.
fn installation(interpreter: &Path) -> Vec<PathBuf> {
    let folder_of = |program: &Path| {
        let folder = program.parent()?;
        let is_bin = folder.file_name().is_some_and(|name| name == "bin");
        let installed = if is_bin { folder.parent()? } else { folder };
        installed.parent().is_some().then(|| installed.to_owned())
    };
    let real = interpreter.canonicalize().ok();
    folder_of(interpreter).into_iter().chain(real.and_then(|real| folder_of(&real))).collect()
}

/// What a driver of NVIDIA's gives to programs.
fn gpu_devices() -> Vec<PathBuf> {
    let entries = fs::read_dir("/dev").into_iter().flatten().flatten();
    let of_driver = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("nvidia"));
    of_driver.map(|entry| entry.path()).collect()
}

/// Where `pip install --user` puts packages.
pub(crate) fn user_base() -> Option<PathBuf> {
    let named = env::var_os("PYTHONUSERBASE").map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".local"))).filter(|path| path.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_runner_is_written() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("runner");
        let mut found = Vec::new();
        for folder in ["", "nereid_runner"] {
            let entries = fs::read_dir(source.join(folder)).unwrap().map(|entry| entry.unwrap().path());
            found.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "py")));
        }
        let written = write_runner().unwrap();
        assert_eq!(found.len(), FILES.len(), "a file of the runner is not in FILES");
        for path in found {
            let copy = written.path().join(path.strip_prefix(&source).unwrap());
            assert_eq!(fs::read(&path).unwrap(), fs::read(copy).unwrap());
        }
    }
}
