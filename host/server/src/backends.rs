//! Every backend of this server, in one list, each told what the command line says of it.

use std::sync::Arc;

use nereid_backend::Backend;
use nereid_backend_identity::IdentityBackend;
use nereid_backend_onnx::{OnnxBackend, OnnxSettings};
use nereid_backend_wasm::{PluginSettings, WasmBackend};
use nereid_inference::ServiceHandle;

use crate::{
    arguments::{BackendArguments, BackendSetting},
    error::ServerError,
    runtime_folders,
};

/// The backends that need no library, and those that look for theirs when a model first asks.
pub(crate) fn backends(
    arguments: &BackendArguments,
    service: &ServiceHandle,
) -> Result<Vec<Arc<dyn Backend>>, ServerError> {
    let onnx_settings = onnx_settings(&arguments.backend_settings)?;
    let cache_directory = arguments.plugin_cache_directory.clone().or_else(runtime_folders::plugin_cache_directory);
    Ok(vec![
        Arc::new(IdentityBackend),
        Arc::new(OnnxBackend::new(onnx_settings)),
        Arc::new(WasmBackend::new(PluginSettings::new(cache_directory), service.clone())),
    ])
}

/// What `--backend-config` says. A setting that nobody reads is refused rather than ignored.
fn onnx_settings(backend_settings: &[BackendSetting]) -> Result<OnnxSettings, ServerError> {
    let mut onnx_settings = OnnxSettings::discover();
    for setting in backend_settings {
        match (setting.backend.as_deref(), setting.key.as_str()) {
            (Some("onnxruntime"), "library") => onnx_settings.library = Some(setting.value.clone().into()),
            (None | Some("onnxruntime"), "default-max-batch-size") => {
                let size = setting.value.parse().ok().filter(|size| *size >= 0);
                let problem = || refused(setting, "expected a whole number, 0 for no batching");
                onnx_settings.default_max_batch_size = size.ok_or_else(problem)?;
            }
            (Some("onnxruntime"), _) => {
                return Err(refused(setting, "onnxruntime knows 'library' and 'default-max-batch-size'"));
            }
            (None, _) => return Err(refused(setting, "for every backend there is only 'default-max-batch-size'")),
            (Some(_), _) => {
                return Err(refused(setting, "only onnxruntime has settings; models have theirs in config.pbtxt"));
            }
        }
    }
    Ok(onnx_settings)
}

fn refused(setting: &BackendSetting, problem: &str) -> ServerError {
    let BackendSetting { backend, key, value } = setting;
    let backend = backend.as_deref().map(|backend| format!("{backend},")).unwrap_or_default();
    ServerError::BackendSetting { setting: format!("{backend}{key}={value}"), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(settings: &[&str]) -> Result<OnnxSettings, String> {
        let settings: Vec<BackendSetting> = settings.iter().map(|setting| setting.parse().unwrap()).collect();
        onnx_settings(&settings).map_err(|error| error.to_string())
    }

    fn check_refused(setting: &str, problem: &str) {
        assert_eq!(understood(&[setting]).unwrap_err(), format!("--backend-config={setting}: {problem}"));
    }

    #[test]
    fn settings_reach_the_backend() {
        let onnx_settings = understood(&["onnxruntime,library=/lib/x.so", "default-max-batch-size=16"]).unwrap();
        assert_eq!(onnx_settings.library, Some("/lib/x.so".into()));
        assert_eq!(onnx_settings.default_max_batch_size, 16);
        assert_eq!(understood(&[]).unwrap().default_max_batch_size, 4);
        assert_eq!(understood(&["onnxruntime,default-max-batch-size=0"]).unwrap().default_max_batch_size, 0);
    }

    #[test]
    fn settings_that_nobody_reads_are_refused() {
        check_refused("onnxruntime,libary=/x", "onnxruntime knows 'library' and 'default-max-batch-size'");
        check_refused("tensorrt,plugins=x", "only onnxruntime has settings; models have theirs in config.pbtxt");
        check_refused("min-supported=1", "for every backend there is only 'default-max-batch-size'");
        check_refused("default-max-batch-size=-1", "expected a whole number, 0 for no batching");
        check_refused("default-max-batch-size=many", "expected a whole number, 0 for no batching");
    }
}
