//! Finding and loading the ONNX Runtime library: once per process, at the first model that needs it.
//!
//! A search that fails is not remembered: once the library is installed the next load of a model finds it. A search
//! that succeeds is final, since one process holds one ONNX Runtime environment for ever.

use std::{
    env,
    error::Error,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Once,
};

use nereid_inference::InferError;
use ort::{LoadDynamicError, environment::Environment, ep, logging::LogLevel};
use parking_lot::Mutex;

/// Names the library file, before any folder is searched.
pub(crate) const LIBRARY_VARIABLE: &str = "NEREID_ONNXRUNTIME_LIBRARY";

/// Where `cargo xtask setup onnxruntime` puts the library, below the directory that it is run in.
const SETUP_FOLDER: &str = ".nereid/onnxruntime";

/// Lets the library write to the standard error stream, at the level that it names. Otherwise it is silent below fatal:
/// every failure comes back with its text, and a client must not be able to fill the log with bad requests.
const LOG_VARIABLE: &str = "ORT_LOG";

/// The one environment; kept for ever because the library refuses a second one.
static ENVIRONMENT: Mutex<Option<Loaded>> = Mutex::new(None);

/// The library that this process has.
#[derive(Debug)]
struct Loaded {
    environment: Environment,
    /// Its file; a bare name when the system found it.
    path: PathBuf,
}

/// Where the library is, and what a configuration leaves open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnnxSettings {
    /// The library file; nothing else is searched when it is given.
    pub library: Option<PathBuf>,
    /// Folders searched, in this order, before the system's own.
    pub search: Vec<PathBuf>,
    /// `max_batch_size` of a model that can batch and whose configuration does not say; 0 or less is no batching.
    pub default_max_batch_size: i32,
}

/// One place where the library may be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    Folder(PathBuf),
    System,
}

// === impl OnnxSettings ===

impl OnnxSettings {
    /// The folders that `cargo xtask setup` uses, seen from the current directory and from the executable, and Triton's
    /// default batch size.
    pub fn discover() -> Self {
        let current = env::current_dir().ok();
        let executable = env::current_exe().ok();
        let above: Vec<&Path> =
            executable.as_deref().map(|path| path.ancestors().skip(1).collect()).unwrap_or_default();
        let mut search: Vec<PathBuf> = current.iter().map(|folder| folder.join(SETUP_FOLDER)).collect();
        search.extend(above.into_iter().map(|folder| folder.join(SETUP_FOLDER)).filter(|folder| folder.is_dir()));
        search.dedup();
        Self { library: None, search, default_max_batch_size: 4 }
    }

    fn places(&self, from_environment: Option<PathBuf>) -> Vec<Place> {
        match self.library.clone().or(from_environment) {
            Some(path) if path.is_dir() => vec![Place::Folder(path)],
            Some(path) => vec![Place::File(path)],
            None => self.search.iter().cloned().map(Place::Folder).chain([Place::System]).collect(),
        }
    }
}

/// The process's environment, loading the library if this is the first call that finds it.
///
/// # Errors
/// `Unavailable`, with every place tried, what was wrong there, and what to run.
pub(crate) fn environment(settings: &OnnxSettings, model_name: &str) -> Result<Environment, InferError> {
    let mut loaded = ENVIRONMENT.lock();
    if let Some(loaded) = &*loaded {
        return Ok(loaded.environment.clone());
    }
    let from_environment = env::var_os(LIBRARY_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let mut tried = Vec::new();
    for place in settings.places(from_environment) {
        match place.load() {
            Ok(found) => return Ok(loaded.insert(found).environment.clone()),
            Err(reason) => tried.push(reason),
        }
    }
    Err(InferError::unavailable(format!(
        "model '{model_name}' needs the ONNX Runtime library, version 1.{} or newer, and none could be loaded; tried: {}. \
         Run `cargo xtask setup onnxruntime`, or name the library file in {LIBRARY_VARIABLE}",
        ort::MINOR_VERSION,
        tried.join("; ")
    )))
}

/// Loads CUDA and cuDNN from where Python wheels and `cargo xtask backend onnxruntime-gpu` put them: beside the library,
/// and in `nvidia/` of the environment that the library is in. ONNX Runtime's provider finds what is loaded already, and
/// looks for the rest where the dynamic loader does. What cannot be loaded is for the provider to report. Maps some 2 GB of
/// files, of which little is read.
pub(crate) fn preload_for_gpus() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let path = ENVIRONMENT.lock().as_ref().map(|loaded| loaded.path.clone());
        for file in path.as_deref().map(gpu_libraries).unwrap_or_default() {
            // Leaked on purpose: the provider uses it for as long as the process lives.
            let _ = ort::util::preload_dylib(&file);
        }
    });
}

/// Files that the CUDA provider needs, in the order in which they need each other, as far as they lie near the library.
fn gpu_libraries(library: &Path) -> Vec<PathBuf> {
    let beside = library.parent().map(Path::to_path_buf);
    let environment = beside.as_deref().and_then(|folder| folder.parent()?.parent()).map(|root| root.join("nvidia"));
    let wheels = ["cu13/lib", "cudnn/lib"];
    let wheels = environment.iter().flat_map(|nvidia| wheels.map(|folder| nvidia.join(folder)));
    let folders: Vec<PathBuf> = beside.iter().cloned().chain(wheels).collect();
    let names = ep::cuda::CUDA_DYLIBS.iter().chain(ep::cuda::CUDNN_DYLIBS);
    names.filter_map(|name| folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file())).collect()
}

// === impl Place ===

impl Place {
    /// The environment of the library at this place, or where it was looked for and what was wrong.
    fn load(&self) -> Result<Loaded, String> {
        match self {
            Self::File(path) if !path.is_file() => Err(format!("{} (no such file)", path.display())),
            Self::File(path) => load_file(path),
            Self::Folder(folder) => match newest_library(folder) {
                Some(path) => load_file(&path),
                None => Err(format!("{} (no {} there)", folder.display(), library_name())),
            },
            Self::System => load_file(Path::new(&library_name())).map_err(|text| format!("the system's {text}")),
        }
    }
}

fn load_file(path: &Path) -> Result<Loaded, String> {
    // `ort` takes a relative path with folders to be relative to the executable.
    let path = match path.components().count() {
        1 => path.to_path_buf(),
        _ => std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()),
    };
    let shown = path.display();
    // A library that is not what it says can make `ort` panic; that must stay this model's failure.
    let loaded = catch_unwind(AssertUnwindSafe(|| {
        let builder = ort::init_from(&path).map_err(|error| reason(&error))?;
        let environment =
            builder.with_name("nereid").with_telemetry(false).build().map_err(|error| error.to_string())?;
        if env::var_os(LOG_VARIABLE).is_none() {
            environment.set_log_level(LogLevel::Fatal);
        }
        Ok::<_, String>(environment)
    }));
    match loaded {
        Ok(Ok(environment)) => Ok(Loaded { environment, path }),
        Ok(Err(text)) => Err(format!("{shown} ({text})")),
        Err(_) => Err(format!("{shown} (not a working ONNX Runtime)")),
    }
}

fn reason(error: &LoadDynamicError) -> String {
    match error {
        LoadDynamicError::Dlopen { error, .. } => {
            let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            format!("cannot be loaded: {cause}")
        }
        LoadDynamicError::BadVersion { version_str, .. } => {
            format!("version {version_str}, expected 1.{} or newer", ort::MINOR_VERSION)
        }
        LoadDynamicError::MissingApi { .. } => "not an ONNX Runtime library: it has no OrtGetApiBase".to_owned(),
        LoadDynamicError::InvalidVersionString => "its version is not readable".to_owned(),
    }
}

/// The library of the highest version in a folder; without a version in its name it counts as the oldest.
fn newest_library(folder: &Path) -> Option<PathBuf> {
    let name = library_name();
    let files = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let libraries = files.filter_map(|entry| {
        let file_name = entry.file_name().into_string().ok()?;
        let version = file_name.strip_prefix(&name)?;
        Some((version.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>(), entry.path()))
    });
    libraries.max().map(|(_, path)| path)
}

fn library_name() -> String {
    format!("{}onnxruntime{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX)
}

#[cfg(test)]
mod tests;
