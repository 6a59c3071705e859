//! Where an instance computes.

use nereid_backend::InstanceSpec;
use nereid_inference::{ModelConfig, config::InstanceKind};

/// The processor, or one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Cpu,
    /// By CUDA's number.
    Gpu(i32),
}

// === impl Place ===

impl Place {
    /// Of an instance. `KIND_MODEL` is for models that say where; an ONNX model does not.
    pub(crate) fn of(spec: &InstanceSpec) -> Self {
        match spec.kind {
            InstanceKind::Gpu => Self::Gpu(spec.device_id),
            InstanceKind::Auto | InstanceKind::Cpu | InstanceKind::Model => Self::Cpu,
        }
    }

    /// Where the first instance will be, as far as the configuration tells before devices are given out: the session that
    /// the load opens is for that place.
    pub(crate) fn first(model_config: &ModelConfig) -> Self {
        match model_config.instance_groups.first() {
            Some(group) if group.kind == InstanceKind::Gpu => {
                group.gpus.first().map_or(Self::Cpu, |device_id| Self::Gpu(*device_id))
            }
            _ => Self::Cpu,
        }
    }
}
