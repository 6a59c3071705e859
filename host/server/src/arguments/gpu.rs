//! Flags of GPUs: which are used, and how much of their memory for what.

use std::{collections::BTreeMap, str::FromStr};

use clap::{ArgAction, Args};
use nereid_gpu::GpuSettings;

use crate::arguments::values;

/// What the server does with the GPUs of the machine. Without a GPU all of it is without effect.
#[derive(Args, Clone, Debug, PartialEq)]
#[command(next_help_heading = "GPUs")]
pub struct GpuArguments {
    /// Whether GPUs are used at all; those that CUDA_VISIBLE_DEVICES leaves
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          default_value = "true", action = ArgAction::Set)]
    pub allow_gpus: bool,

    /// GPUs of an older compute capability are left alone
    #[arg(long, value_name = "MAJOR.MINOR", default_value = "6.0", value_parser = compute_capability)]
    pub min_supported_compute_capability: (i32, i32),

    /// Page-locked memory of the host through which copies from GPUs go, for all GPUs together, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 20)]
    pub pinned_memory_pool_byte_size: usize,

    /// Freed memory that a GPU keeps for the next request, in bytes; 64 MiB where nothing is said; may be given several
    /// times
    #[arg(long, value_name = "GPU:BYTES", action = ArgAction::Append)]
    pub cuda_memory_pool_byte_size: Vec<OfGpu<u64>>,

    /// Models are not loaded onto a GPU of whose memory more than this part is used, 0 to 1; may be given several times
    #[arg(long, value_name = "GPU:FRACTION", action = ArgAction::Append)]
    pub model_load_gpu_limit: Vec<OfGpu<f64>>,
}

/// A value for one GPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OfGpu<T> {
    pub gpu: i32,
    pub value: T,
}

// === impl GpuArguments ===

impl GpuArguments {
    /// The same in the words of devices.
    pub fn settings(&self) -> GpuSettings {
        GpuSettings {
            pinned_pool_bytes: self.pinned_memory_pool_byte_size,
            pool_bytes: by_gpu(&self.cuda_memory_pool_byte_size),
            compute_capability_min: self.min_supported_compute_capability,
        }
    }

    /// The part of each GPU's memory beyond which nothing more is loaded.
    pub fn load_limits(&self) -> BTreeMap<i32, f64> {
        by_gpu(&self.model_load_gpu_limit)
    }
}

impl Default for GpuArguments {
    fn default() -> Self {
        let GpuSettings { pinned_pool_bytes, compute_capability_min, .. } = GpuSettings::default();
        Self {
            allow_gpus: true,
            min_supported_compute_capability: compute_capability_min,
            pinned_memory_pool_byte_size: pinned_pool_bytes,
            cuda_memory_pool_byte_size: vec![],
            model_load_gpu_limit: vec![],
        }
    }
}

fn by_gpu<T: Copy>(values: &[OfGpu<T>]) -> BTreeMap<i32, T> {
    values.iter().map(|OfGpu { gpu, value }| (*gpu, *value)).collect()
}

fn compute_capability(text: &str) -> Result<(i32, i32), String> {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    let number = |text: &str| text.parse().ok().filter(|number: &i32| *number >= 0);
    let both = number(major).zip(number(minor));
    both.ok_or_else(|| "expected a compute capability such as 7.5".to_owned())
}

// === impl OfGpu ===

impl FromStr for OfGpu<u64> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        of_gpu(text, |value| value.parse().ok())
            .ok_or_else(|| "expected the number of a GPU and bytes, such as 0:67108864".to_owned())
    }
}

impl FromStr for OfGpu<f64> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        of_gpu(text, |value| value.parse().ok().filter(|part: &f64| (0.0..=1.0).contains(part))).ok_or_else(|| {
            "expected the number of a GPU and a part of its memory from 0 to 1, such as 0:0.8".to_owned()
        })
    }
}

fn of_gpu<T>(text: &str, value: impl Fn(&str) -> Option<T>) -> Option<OfGpu<T>> {
    let (gpu, rest) = text.split_once(':')?;
    let gpu = gpu.parse().ok().filter(|gpu: &i32| *gpu >= 0)?;
    Some(OfGpu { gpu, value: value(rest)? })
}
