//! Which devices models may use, and how full a device may be for another model to be loaded onto it.

use std::collections::BTreeMap;

use nereid_backend::InstanceSpec;
use nereid_gpu::Gpus;
use nereid_inference::{InferError, config::InstanceKind};

/// What the server says about the devices of its models.
#[derive(Clone, Debug, Default)]
pub struct GpuRules {
    pub gpus: Gpus,
    /// The part of a device's memory, 0 to 1, beyond which nothing more is loaded onto it, by ordinal.
    pub load_limits: BTreeMap<i32, f64>,
}

// === impl GpuRules ===

impl GpuRules {
    /// Whether a model with these instances may be loaded now. What it is going to take is not known before it is loaded,
    /// so that a device can become fuller than its limit by one model; Triton's rule.
    ///
    /// # Errors
    /// A device is as full as it may be, or does not answer.
    pub(crate) fn admit<'a>(
        &self,
        model: &str,
        instances: impl IntoIterator<Item = &'a InstanceSpec>,
    ) -> Result<(), InferError> {
        for spec in instances {
            if spec.kind == InstanceKind::Gpu
                && let (Some(limit), Some(gpu)) = (self.load_limits.get(&spec.device_id), self.gpus.get(spec.device_id))
            {
                let memory = gpu.memory().map_err(|error| InferError::unavailable(error.to_string()))?;
                let used = 1.0 - memory.free_bytes as f64 / memory.total_bytes.max(1) as f64;
                check(model, spec.device_id, used, *limit)?;
            }
        }
        Ok(())
    }
}

fn check(model: &str, device_id: i32, used: f64, limit: f64) -> Result<(), InferError> {
    if used <= limit {
        return Ok(());
    }
    let (used, limit) = (used * 100.0, limit * 100.0);
    Err(InferError::new(
        nereid_inference::ErrorKind::ResourceExhausted,
        format!(
            "can not create model '{model}': memory limit set for KIND_GPU {device_id} has exceeded, model loading is rejected: \
             {used:.1} % of the device's memory are used, {limit:.1} % are allowed (--model-load-gpu-limit)"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_full_takes_no_more() {
        assert!(check("m", 0, 0.5, 0.5).is_ok());
        assert_eq!(
            check("m", 1, 0.75, 0.5).unwrap_err().message(),
            "can not create model 'm': memory limit set for KIND_GPU 1 has exceeded, model loading is rejected: 75.0 % of the \
             device's memory are used, 50.0 % are allowed (--model-load-gpu-limit)"
        );
    }

    #[test]
    fn devices_that_are_not_there_limit_nothing() {
        let rules = GpuRules { load_limits: BTreeMap::from([(0, 0.0)]), ..GpuRules::default() };
        let spec = InstanceSpec { name: "m_0_0".into(), kind: InstanceKind::Gpu, device_id: 0 };
        assert!(rules.admit("m", [&spec]).is_ok());
    }
}
