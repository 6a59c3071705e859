//! Execution providers of instances on GPUs: CUDA always, TensorRT before it where the configuration names it.
//!
//! A provider that cannot be used is an error of the model. ONNX Runtime would go on with the CPU, which nobody notices
//! but by the latency; here the text is ONNX Runtime's own, followed by what to install. What a provider cannot compute
//! goes to the next one, CUDA and then the CPU, as in Triton.

mod parameters;

use nereid_inference::{InferError, ModelConfig, config::Accelerator};
use ort::{
    ep::{self, ArbitrarilyConfigurableExecutionProvider as _, ExecutionProvider as _, ExecutionProviderDispatch},
    session::builder::SessionBuilder,
};

pub(crate) use self::parameters::flag;
use self::parameters::{CUDA, CUDA_OF_THE_MODEL, ProviderOption, TENSORRT};

/// What a configuration says about providers, without a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GpuProviders {
    /// `None` where TensorRT is not asked for.
    tensorrt: Option<Vec<ProviderOption>>,
    cuda: Vec<ProviderOption>,
}

/// One provider of one session.
struct Provider {
    /// In sentences.
    name: &'static str,
    dispatch: ExecutionProviderDispatch,
}

/// Whether the library that is loaded was built with CUDA.
pub(crate) fn has_cuda() -> bool {
    ep::CUDA::is_available().unwrap_or(false)
}

// === impl GpuProviders ===

impl GpuProviders {
    /// What the configuration asks for.
    ///
    /// # Errors
    /// An accelerator that is not offered, or a parameter that is not known.
    pub(crate) fn from_config(model_config: &ModelConfig) -> Result<Self, InferError> {
        let accelerators = model_config.optimization.as_ref().and_then(|o| o.execution_accelerators.as_ref());
        let mut providers = Self::default();
        if let Some(accelerators) = accelerators {
            accelerators.cpu.iter().try_for_each(|accelerator| refuse_on_cpu(model_config, accelerator))?;
            for accelerator in &accelerators.gpu {
                providers.add(accelerator).map_err(|text| {
                    let (model, name) = (&model_config.name, &accelerator.name);
                    InferError::invalid_argument(format!("model '{model}': gpu_execution_accelerator '{name}' {text}"))
                })?;
            }
        }
        providers.add_of_the_model(model_config)?;
        Ok(providers)
    }

    /// Whether sessions hold engines, which execute one batch at a time.
    pub(crate) fn has_engines(&self) -> bool {
        self.tensorrt.is_some()
    }

    /// The builder with these providers on the device.
    ///
    /// # Errors
    /// A provider is not in this library, or one of its own libraries is missing; the text says which and what to do.
    pub(crate) fn register(&self, builder: SessionBuilder, device_id: i32) -> Result<SessionBuilder, String> {
        self.on_device(device_id).into_iter().try_fold(builder, |builder, Provider { name, dispatch }| {
            let registered = builder.with_execution_providers([dispatch.error_on_failure()]);
            registered.map_err(|error| {
                let text = error.message().trim().trim_end_matches('.');
                format!("ONNX Runtime's {name} provider cannot be used on GPU {device_id}: {text}. {}", advice(text))
            })
        })
    }

    fn on_device(&self, device_id: i32) -> Vec<Provider> {
        let tensorrt = self.tensorrt.as_ref().map(|options| {
            let provider = ep::TensorRT::default().with_device_id(device_id);
            let set = |provider: ep::TensorRT, (option, value): &ProviderOption| {
                provider.with_arbitrary_config(*option, value)
            };
            Provider { name: "TensorRT", dispatch: options.iter().fold(provider, set).build() }
        });
        let provider = ep::CUDA::default().with_device_id(device_id);
        let set = |provider: ep::CUDA, (option, value): &ProviderOption| provider.with_arbitrary_config(*option, value);
        let cuda = Provider { name: "CUDA", dispatch: self.cuda.iter().fold(provider, set).build() };
        tensorrt.into_iter().chain([cuda]).collect()
    }

    fn add(&mut self, accelerator: &Accelerator) -> Result<(), String> {
        let read = |table| parameters::options(table, &accelerator.parameters).map_err(|text| format!("has {text}"));
        match accelerator.name.as_str() {
            "tensorrt" => self.tensorrt.get_or_insert_default().extend(read(&TENSORRT)?),
            "cuda" => self.cuda.extend(read(&CUDA)?),
            _ => return Err("is not offered by the onnxruntime backend, which has 'tensorrt' and 'cuda'".to_owned()),
        }
        Ok(())
    }

    /// What the model writes among its own parameters wins, as in Triton.
    fn add_of_the_model(&mut self, model_config: &ModelConfig) -> Result<(), InferError> {
        for parameter in CUDA_OF_THE_MODEL {
            let Some(value) = model_config.parameter(parameter.name) else { continue };
            let option = parameter.option(value).map_err(|text| {
                InferError::invalid_argument(format!("model '{}': has parameter {text}", model_config.name))
            })?;
            self.cuda.extend(option);
        }
        Ok(())
    }
}

/// ONNX Runtime has one for Intel's engine, in a build that nobody publishes; the backend for it reads the same files.
fn refuse_on_cpu(model_config: &ModelConfig, accelerator: &Accelerator) -> Result<(), InferError> {
    let instead = match accelerator.name.as_str() {
        "openvino" => {
            "OpenVINO executes the same file as a backend of its own: write backend: \"openvino\" and \
             default_model_filename: \"model.onnx\" instead"
        }
        _ => "remove it to run on the CPU provider",
    };
    Err(InferError::unsupported(format!(
        "model '{}': cpu_execution_accelerator '{}' is not offered by the onnxruntime backend; {instead}",
        model_config.name, accelerator.name
    )))
}

/// What to do about ONNX Runtime's `text`.
fn advice(text: &str) -> &'static str {
    if text.contains("not enabled in this build") {
        "Run `cargo xtask backend onnxruntime-gpu`, name a GPU build of the library in NEREID_ONNXRUNTIME_LIBRARY, or use \
         kind: KIND_CPU"
    } else if text.contains("libcuda.so") {
        "Install NVIDIA's driver, or use kind: KIND_CPU"
    } else if text.contains("libnvinfer") || text.contains("libnvonnxparser") {
        "Install TensorRT 10 where the dynamic loader finds it (LD_LIBRARY_PATH), or remove the accelerator 'tensorrt'"
    } else if text.contains("Failed to load") || text.contains("cannot open shared object file") {
        "Install CUDA 13 and cuDNN 9 where the dynamic loader finds them (LD_LIBRARY_PATH); `cargo xtask backend \
         onnxruntime-gpu` puts them beside the library; or use kind: KIND_CPU"
    } else {
        "Remove the option that it objects to, or use kind: KIND_CPU"
    }
}

#[cfg(test)]
mod tests {
    use nereid_inference::config::{ExecutionAccelerators, Optimization};

    use super::*;

    fn accelerator(name: &str, parameters: &[(&str, &str)]) -> Accelerator {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Accelerator { name: name.into(), parameters }
    }

    fn config(gpu: Vec<Accelerator>, parameters: &[(&str, &str)]) -> ModelConfig {
        let execution_accelerators = Some(ExecutionAccelerators { gpu, cpu: vec![] });
        let optimization = Some(Optimization { execution_accelerators, ..Optimization::default() });
        let parameters = accelerator("", parameters).parameters;
        ModelConfig { name: "m".into(), optimization, parameters, ..ModelConfig::default() }
    }

    fn names(providers: &GpuProviders) -> Vec<&'static str> {
        providers.on_device(0).iter().map(|provider| provider.dispatch.name()).collect()
    }

    #[test]
    fn cuda_is_always_there_and_tensorrt_goes_before_it() {
        let providers = GpuProviders::from_config(&ModelConfig::default()).unwrap();
        assert_eq!((names(&providers), providers.has_engines()), (vec!["CUDAExecutionProvider"], false));
        let written = vec![accelerator("cuda", &[("use_tf32", "0")]), accelerator("tensorrt", &[])];
        let providers = GpuProviders::from_config(&config(written, &[])).unwrap();
        assert_eq!(names(&providers), ["TensorrtExecutionProvider", "CUDAExecutionProvider"]);
        assert!(providers.has_engines());
    }

    #[test]
    fn the_models_own_parameters_come_last_and_win() {
        let written = vec![accelerator("cuda", &[("gpu_mem_limit", "1")])];
        let parameters = [("gpu_mem_limit", "2"), ("cudnn_conv_algo_search", "2"), ("unrelated", "x")];
        let providers = GpuProviders::from_config(&config(written, &parameters)).unwrap();
        let expected = [("gpu_mem_limit", "1"), ("cudnn_conv_algo_search", "DEFAULT"), ("gpu_mem_limit", "2")];
        assert_eq!(providers.cuda, expected.map(|(option, value)| (option, value.to_owned())));
    }

    #[test]
    fn what_is_not_offered_is_refused_by_name() {
        let text = |config: ModelConfig| GpuProviders::from_config(&config).unwrap_err().message().to_owned();
        assert_eq!(
            text(config(vec![accelerator("migraphx", &[])], &[])),
            "model 'm': gpu_execution_accelerator 'migraphx' is not offered by the onnxruntime backend, which has \
             'tensorrt' and 'cuda'"
        );
        let unknown = text(config(vec![accelerator("tensorrt", &[("fp16", "1")])], &[]));
        let expected =
            "model 'm': gpu_execution_accelerator 'tensorrt' has no parameter 'fp16'; it has precision_mode, ";
        assert!(unknown.starts_with(expected), "{unknown}");
        assert_eq!(
            text(config(vec![], &[("do_copy_in_default_stream", "maybe")])),
            "model 'm': has parameter 'do_copy_in_default_stream' set to 'maybe', expected 1, true, 0 or false"
        );
        let mut openvino = config(vec![], &[]);
        let accelerators = openvino.optimization.as_mut().unwrap().execution_accelerators.as_mut().unwrap();
        accelerators.cpu.push(accelerator("openvino", &[]));
        assert!(
            text(openvino).ends_with("write backend: \"openvino\" and default_model_filename: \"model.onnx\" instead")
        );
    }

    #[test]
    fn every_failure_has_its_advice() {
        for (text, expected) in [
            ("CUDA execution provider is not enabled in this build.", "cargo xtask backend onnxruntime-gpu`, name"),
            ("Failed to load library x with error: libcublasLt.so.13: cannot open", "Install CUDA 13 and cuDNN 9"),
            ("Failed to load library y with error: libnvinfer.so.10: cannot open", "Install TensorRT 10"),
            ("Failed to load library z with error: libcuda.so.1: cannot open", "Install NVIDIA's driver"),
            ("invalid device ordinal", "Remove the option"),
        ] {
            assert!(advice(text).contains(expected), "{text}: {}", advice(text));
        }
    }
}
