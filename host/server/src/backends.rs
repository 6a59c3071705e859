//! Every backend of this server, in one list, each told what the command line says of it.

use std::sync::Arc;

use nereid_backend::Backend;
use nereid_backend_fil::{FilBackend, FilSettings};
use nereid_backend_identity::IdentityBackend;
use nereid_backend_onnx::{OnnxBackend, OnnxSettings};
use nereid_backend_openvino::{OpenvinoBackend, OpenvinoSettings};
use nereid_backend_python::{PythonBackend, PythonLimits, PythonPorts, PythonSettings, SETTINGS};
use nereid_backend_pytorch::{PytorchBackend, PytorchSettings};
use nereid_backend_repeat::{RepeatBackend, SquareBackend};
use nereid_backend_tensorrt::{TensorrtBackend, TensorrtSettings};
use nereid_backend_wasm::{PluginPorts, PluginSettings, SharedPolicy, WasmAgents, WasmBackend, WasmStrategies};
use nereid_gpu::Gpus;
use nereid_inference::RepositoryAgents;
use nereid_pipeline::StrategySources;
use nereid_telemetry::Telemetry;

use crate::{
    arguments::{BackendArguments, BackendSetting},
    error::ServerError,
    runtime_folders,
};

/// The backends that need no library, and those that look for theirs when a model first asks.
pub(crate) fn backends(
    arguments: &BackendArguments,
    ports: PluginPorts,
    (policy, python_limits, gpus): (SharedPolicy, PythonLimits, &Gpus),
    telemetry: &Telemetry,
) -> Result<Backends, ServerError> {
    let settings = settings(&arguments.backend_settings)?;
    let cache_directory = arguments.plugin_cache_directory.clone().or_else(runtime_folders::plugin_cache_directory);
    let plugin_settings = PluginSettings {
        metrics: telemetry.custom().clone(),
        usage: telemetry.plugins().clone(),
        policy,
        cache_key_file: arguments.plugin_cache_key_file.clone(),
        ..PluginSettings::new(cache_directory)
    };
    let python_ports = PythonPorts {
        service: ports.service.clone(),
        control: ports.control.clone(),
        metrics: telemetry.custom().clone(),
    };
    let plugins = Arc::new(WasmBackend::new(plugin_settings, ports));
    let agents = Arc::new(WasmAgents::new(plugins.clone(), arguments.agent_directory.clone()));
    let strategies = StrategySources {
        strategies: Arc::new(WasmStrategies::new(plugins.clone())),
        folder: arguments.batch_strategy_directory.clone(),
    };
    let python_settings = PythonSettings { backend_directory: arguments.backend_directory.clone(), ..settings.python };
    let list: Vec<Arc<dyn Backend>> = vec![
        Arc::new(IdentityBackend::new(gpus.clone())),
        Arc::new(RepeatBackend),
        Arc::new(SquareBackend),
        Arc::new(OnnxBackend::new(settings.onnx).with_gpus(gpus.clone())),
        Arc::new(FilBackend::new(settings.fil).with_gpus(gpus.clone())),
        Arc::new(PytorchBackend::new(settings.pytorch).with_gpus(gpus.clone())),
        Arc::new(OpenvinoBackend::new(settings.openvino.clone())),
        Arc::new(OpenvinoBackend::tensorflow(settings.openvino)),
        Arc::new(TensorrtBackend::new(settings.tensorrt, gpus.clone())),
        Arc::new(PythonBackend::new(python_settings, python_limits, python_ports)),
        plugins,
    ];
    Ok(Backends { list, agents, strategies })
}

/// What models are loaded with.
pub(crate) struct Backends {
    pub(crate) list: Vec<Arc<dyn Backend>>,
    pub(crate) agents: Arc<dyn RepositoryAgents>,
    pub(crate) strategies: StrategySources,
}

/// What `--backend-config` says, backend by backend.
struct Settings {
    onnx: OnnxSettings,
    fil: FilSettings,
    pytorch: PytorchSettings,
    /// For both of its names.
    openvino: OpenvinoSettings,
    python: PythonSettings,
    tensorrt: TensorrtSettings,
}

/// Backends that have settings.
const WITH_SETTINGS: &str = "onnxruntime, fil, python, pytorch, openvino, tensorflow and tensorrt have settings; models have theirs in config.pbtxt";

/// Reads `--backend-config`. A setting that nobody reads is refused rather than ignored.
fn settings(backend_settings: &[BackendSetting]) -> Result<Settings, ServerError> {
    let mut settings = Settings {
        onnx: OnnxSettings::discover(),
        fil: FilSettings::default(),
        pytorch: PytorchSettings::discover(),
        openvino: OpenvinoSettings::discover(),
        python: PythonSettings::default(),
        tensorrt: TensorrtSettings::discover(),
    };
    for setting in backend_settings {
        match (setting.backend.as_deref(), setting.key.as_str()) {
            (Some("onnxruntime"), "library") => settings.onnx.library = Some(setting.value.clone().into()),
            (None, "default-max-batch-size") => {
                settings.onnx.default_max_batch_size = batch_size(setting)?;
                settings.openvino.default_max_batch_size = batch_size(setting)?;
            }
            (Some("onnxruntime"), "default-max-batch-size") => {
                settings.onnx.default_max_batch_size = batch_size(setting)?;
            }
            (Some("openvino" | "tensorflow"), key) => set_openvino(&mut settings.openvino, setting, key)?,
            (Some("onnxruntime"), _) => {
                return Err(refused(setting, "onnxruntime knows 'library' and 'default-max-batch-size'"));
            }
            (Some("fil"), "default-max-batch-size") => settings.fil.default_max_batch_size = batch_size(setting)?,
            (Some("fil"), "threads") => {
                let count = setting.value.parse().ok().filter(|count| *count <= FilSettings::THREADS_MAX);
                let problem = format!("expected 1 to {}, or 0 for one per processor", FilSettings::THREADS_MAX);
                settings.fil.threads = count.ok_or_else(|| refused(setting, &problem))?;
            }
            (Some("fil"), "nvrtc") => settings.fil.nvrtc = Some(setting.value.clone().into()),
            (Some("fil"), _) => {
                return Err(refused(setting, "fil knows 'default-max-batch-size', 'threads' and 'nvrtc'"));
            }
            (Some("python"), key) => {
                let is_known =
                    settings.python.set(key, &setting.value).map_err(|problem| refused(setting, &problem))?;
                if !is_known {
                    return Err(refused(setting, SETTINGS));
                }
            }
            (Some("pytorch"), "library") => {
                settings.pytorch.search.library = Some(setting.value.clone().into());
            }
            // May be said several times.
            (Some("pytorch"), "trusted-folder") => settings.pytorch.trusted_folders.push(setting.value.clone().into()),
            (Some("pytorch"), _) => return Err(refused(setting, "pytorch knows 'library' and 'trusted-folder'")),
            (Some("tensorrt"), key) => set_tensorrt(&mut settings.tensorrt, setting, key)?,
            (None, _) => return Err(refused(setting, "for every backend there is only 'default-max-batch-size'")),
            (Some(_), _) => return Err(refused(setting, WITH_SETTINGS)),
        }
    }
    Ok(settings)
}

fn set_openvino(settings: &mut OpenvinoSettings, setting: &BackendSetting, key: &str) -> Result<(), ServerError> {
    match key {
        "library" => settings.search.library = Some(setting.value.clone().into()),
        "default-max-batch-size" => settings.default_max_batch_size = batch_size(setting)?,
        _ => return Err(refused(setting, "openvino and tensorflow know 'library' and 'default-max-batch-size'")),
    }
    Ok(())
}

fn set_tensorrt(settings: &mut TensorrtSettings, setting: &BackendSetting, key: &str) -> Result<(), ServerError> {
    match (key, setting.value.as_str()) {
        ("library", path) => settings.search.library = Some(path.into()),
        ("version-compatible", "true") => settings.version_compatible = true,
        ("version-compatible", "false") => settings.version_compatible = false,
        ("version-compatible", _) => return Err(refused(setting, "expected 'true' or 'false'")),
        _ => return Err(refused(setting, "tensorrt knows 'library' and 'version-compatible'")),
    }
    Ok(())
}

fn batch_size(setting: &BackendSetting) -> Result<i32, ServerError> {
    let size = setting.value.parse().ok().filter(|size| *size >= 0);
    size.ok_or_else(|| refused(setting, "expected a whole number, 0 for no batching"))
}

fn refused(setting: &BackendSetting, problem: &str) -> ServerError {
    let BackendSetting { backend, key, value } = setting;
    let backend = backend.as_deref().map(|backend| format!("{backend},")).unwrap_or_default();
    ServerError::BackendSetting { setting: format!("{backend}{key}={value}"), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn understood(written: &[&str]) -> Result<Settings, String> {
        let written: Vec<BackendSetting> = written.iter().map(|setting| setting.parse().unwrap()).collect();
        settings(&written).map_err(|error| error.to_string())
    }

    fn check_refused(setting: &str, problem: &str) {
        assert_eq!(understood(&[setting]).err().unwrap(), format!("--backend-config={setting}: {problem}"));
    }

    #[test]
    fn settings_reach_the_backend() {
        let onnx_settings = understood(&["onnxruntime,library=/lib/x.so", "default-max-batch-size=16"]).unwrap().onnx;
        assert_eq!(onnx_settings.library, Some("/lib/x.so".into()));
        assert_eq!(onnx_settings.default_max_batch_size, 16);
        assert_eq!(understood(&[]).unwrap().onnx.default_max_batch_size, 4);
        assert_eq!(understood(&["onnxruntime,default-max-batch-size=0"]).unwrap().onnx.default_max_batch_size, 0);
        let written = ["fil,threads=2", "fil,default-max-batch-size=64", "fil,nvrtc=/cuda/lib"];
        let fil_settings = understood(&written).unwrap().fil;
        let nvrtc = Some("/cuda/lib".into());
        assert_eq!(fil_settings, FilSettings { default_max_batch_size: 64, threads: 2, nvrtc });
        let written = ["pytorch,library=/lib/shim.so", "pytorch,trusted-folder=/a", "pytorch,trusted-folder=/b"];
        let pytorch_settings = understood(&written).unwrap().pytorch;
        assert_eq!(pytorch_settings.search.library, Some("/lib/shim.so".into()));
        assert_eq!(pytorch_settings.trusted_folders, [PathBuf::from("/a"), PathBuf::from("/b")]);
        let tensorrt_settings =
            understood(&["tensorrt,library=/lib/shim.so", "tensorrt,version-compatible=true"]).unwrap().tensorrt;
        assert_eq!(tensorrt_settings.search.library, Some("/lib/shim.so".into()));
        assert!(tensorrt_settings.version_compatible);
        let openvino_settings =
            understood(&["openvino,library=/lib/x.so", "default-max-batch-size=16"]).unwrap().openvino;
        assert_eq!(openvino_settings.search.library, Some("/lib/x.so".into()));
        assert_eq!(openvino_settings.default_max_batch_size, 16);
        let python_settings =
            understood(&["python,python-executable=/v/bin/python", "python,open-files=7"]).unwrap().python;
        assert_eq!(python_settings.executable, PathBuf::from("/v/bin/python"));
        assert_eq!(python_settings.confinement.open_files, 7);
    }

    #[test]
    fn settings_that_nobody_reads_are_refused() {
        check_refused("onnxruntime,libary=/x", "onnxruntime knows 'library' and 'default-max-batch-size'");
        check_refused("identity,plugins=x", WITH_SETTINGS);
        check_refused("tensorrt,plugins=x", "tensorrt knows 'library' and 'version-compatible'");
        check_refused("tensorrt,version-compatible=1", "expected 'true' or 'false'");
        check_refused("pytorch,lib=x", "pytorch knows 'library' and 'trusted-folder'");
        check_refused("tensorflow,a=x", "openvino and tensorflow know 'library' and 'default-max-batch-size'");
        check_refused("fil,threads=257", "expected 1 to 256, or 0 for one per processor");
        check_refused("python,networks=allow", SETTINGS);
        check_refused("python,network=yes", "expected 'deny' or 'allow'");
        check_refused("fil,gpu=1", "fil knows 'default-max-batch-size', 'threads' and 'nvrtc'");
        check_refused("min-supported=1", "for every backend there is only 'default-max-batch-size'");
        check_refused("default-max-batch-size=-1", "expected a whole number, 0 for no batching");
        check_refused("default-max-batch-size=many", "expected a whole number, 0 for no batching");
    }
}
