//! `memory.enable_memory_arena_shrinkage`: arenas that give memory back to the system after every run.
//!
//! The list names devices of the whole model, and ONNX Runtime fails every run of a session that has no arena on one of
//! them; each session is told of its own.

use nereid_inference::{InferError, ModelConfig};
use ort::session::RunOptions;

use crate::place::Place;

/// The parameter, and ONNX Runtime's name for the same.
const PARAMETER: &str = "memory.enable_memory_arena_shrinkage";

/// The devices whose arenas shrink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ArenaShrinkage {
    cpu: bool,
    gpus: Vec<i32>,
}

// === impl ArenaShrinkage ===

impl ArenaShrinkage {
    /// What the configuration says. `has_cpu_arena` is whether there is one to shrink.
    ///
    /// # Errors
    /// Not a list of devices, or the CPU's arena is named and switched off.
    pub(crate) fn from_config(model_config: &ModelConfig, has_cpu_arena: bool) -> Result<Self, InferError> {
        let Some(text) = model_config.parameter(PARAMETER) else { return Ok(Self::default()) };
        let invalid = |problem: &str| {
            let name = &model_config.name;
            InferError::invalid_argument(format!("model '{name}': parameter '{PARAMETER}' is '{text}', {problem}"))
        };
        let mut shrinkage = Self::default();
        for device in text.split(';').map(str::trim).filter(|device| !device.is_empty()) {
            match device.split_once(':').map(|(kind, id)| (kind, id.parse::<i32>())) {
                Some(("cpu", Ok(0))) => shrinkage.cpu = true,
                Some(("gpu", Ok(device_id @ 0..))) => shrinkage.gpus.push(device_id),
                _ => return Err(invalid("expected devices like 'cpu:0' or 'cpu:0;gpu:0;gpu:1'")),
            }
        }
        match shrinkage.cpu && !has_cpu_arena {
            true => Err(invalid("but 'enable_mem_arena' is off, so there is no arena on the CPU")),
            false => Ok(shrinkage),
        }
    }

    /// What runs of a session at this place are told; `None` for nothing.
    ///
    /// # Errors
    /// Out of memory in the library.
    pub(crate) fn run_options(&self, place: Place) -> Result<Option<RunOptions>, ort::Error> {
        let Some(devices) = self.devices(place) else { return Ok(None) };
        let mut run_options = RunOptions::new()?;
        run_options.set(PARAMETER, devices)?;
        Ok(Some(run_options))
    }

    fn devices(&self, place: Place) -> Option<String> {
        let cpu = self.cpu.then(|| "cpu:0".to_owned());
        let gpu = match place {
            Place::Gpu(device_id) if self.gpus.contains(&device_id) => Some(format!("gpu:{device_id}")),
            Place::Gpu(_) | Place::Cpu => None,
        };
        let devices: Vec<String> = cpu.into_iter().chain(gpu).collect();
        (!devices.is_empty()).then(|| devices.join(";"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, has_cpu_arena: bool) -> Result<ArenaShrinkage, String> {
        let parameters = [(PARAMETER.to_owned(), text.to_owned())].into_iter().collect();
        let config = ModelConfig { name: "m".into(), parameters, ..ModelConfig::default() };
        ArenaShrinkage::from_config(&config, has_cpu_arena).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn each_session_is_told_of_its_own_arenas() {
        let shrinkage = read("cpu:0; gpu:1", true).unwrap();
        assert_eq!(shrinkage.devices(Place::Cpu).as_deref(), Some("cpu:0"));
        assert_eq!(shrinkage.devices(Place::Gpu(1)).as_deref(), Some("cpu:0;gpu:1"));
        assert_eq!(shrinkage.devices(Place::Gpu(0)).as_deref(), Some("cpu:0"));
        let only_gpu = read("gpu:1", false).unwrap();
        assert_eq!((only_gpu.devices(Place::Cpu), only_gpu.devices(Place::Gpu(1))), (None, Some("gpu:1".into())));
        assert_eq!(ArenaShrinkage::default().devices(Place::Gpu(0)), None);
    }

    #[test]
    fn what_is_no_list_of_devices_is_refused() {
        for text in ["cpu", "cpu:1", "gpu:-1", "npu:0", "cpu:0,gpu:0"] {
            let error = read(text, true).unwrap_err();
            let expected = format!("model 'm': parameter '{PARAMETER}' is '{text}', expected devices like 'cpu:0'");
            assert!(error.starts_with(&expected), "{error}");
        }
        assert!(read("cpu:0", false).unwrap_err().ends_with("so there is no arena on the CPU"));
    }
}
