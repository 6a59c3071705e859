//! The kernel: its source, compiled once per device of the process and kept.

use std::{collections::HashMap, sync::Arc};

use nereid_backend::LibrarySearch;
use nereid_forest::FlatForest;
use nereid_gpu::{
    Gpu,
    cudarc::{
        driver::{CudaFunction, DriverError, sys::CUdevice_attribute},
        nvrtc::Ptx,
    },
};
use parking_lot::Mutex;

use crate::gpu::{
    job::{AnswerNumber, Job, LinkNumber},
    nvrtc::{Nvrtc, nvrtc, search},
    plan::{THREADS, TREES},
};

const SOURCE: &str = include_str!("forest.cu");
const SOURCE_NAME: &str = "forest.cu";

/// The kernel on one device.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// For forests whose leaves are summed in 32 bits.
    pub(crate) single: CudaFunction,
    /// For those with 64 bits.
    pub(crate) double: CudaFunction,
    pub(crate) multiprocessors: u32,
}

/// The kernels of all devices.
#[derive(Debug)]
pub(crate) struct Kernels {
    search: LibrarySearch,
    /// By the device's ordinal. Held while one is compiled: nobody else could do anything but wait.
    compiled: Mutex<HashMap<i32, Arc<Kernel>>>,
}

// === impl Kernels ===

impl Kernels {
    /// None yet; the compiler is `library`, or looked for where it usually is.
    pub(crate) fn new(library: Option<std::path::PathBuf>) -> Self {
        Self { search: LibrarySearch { library, ..search() }, compiled: Mutex::default() }
    }

    /// The compiler.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn compiler(&self) -> Result<&'static Nvrtc, String> {
        nvrtc(&self.search)
    }

    /// The kernel on `gpu`, compiled if this is the first call for it.
    ///
    /// # Errors
    /// There is no compiler, or it or the driver refused.
    pub(crate) fn of(&self, gpu: &Gpu) -> Result<Arc<Kernel>, String> {
        let mut compiled = self.compiled.lock();
        if let Some(kernel) = compiled.get(&gpu.ordinal()) {
            return Ok(Arc::clone(kernel));
        }
        let code = compile(self.compiler()?, gpu.compute_capability())?;
        let refused = |error: DriverError| format!("GPU {} does not take the kernel: {error}", gpu.ordinal());
        let kernel = Arc::new(Kernel::load(gpu, code).map_err(refused)?);
        compiled.insert(gpu.ordinal(), Arc::clone(&kernel));
        Ok(kernel)
    }
}

// === impl Kernel ===

impl Kernel {
    fn load(gpu: &Gpu, code: Vec<u8>) -> Result<Self, DriverError> {
        let module = gpu.context().load_module(Ptx::from_binary(code))?;
        let count = gpu.context().attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        Ok(Self {
            single: module.load_function("forest_single")?,
            double: module.load_function("forest_double")?,
            multiprocessors: u32::try_from(count).unwrap_or(1),
        })
    }
}

/// The kernel's code for devices of a compute capability, and no others: nothing is left for the driver to compile.
///
/// # Errors
/// What the compiler said; above all that it does not know such devices.
pub(crate) fn compile(nvrtc: &'static Nvrtc, compute_capability: (i32, i32)) -> Result<Vec<u8>, String> {
    let compiled = nvrtc.compile(SOURCE_NAME, SOURCE, &options(compute_capability));
    compiled.map_err(|error| {
        format!("{error} (for devices of compute capability {}.{})", compute_capability.0, compute_capability.1)
    })
}

/// What the source takes from here, so that no number stands in two places. Products and sums are not fused: the
/// processor rounds between them.
fn options((major, minor): (i32, i32)) -> Vec<String> {
    let numbers = [
        ("THREADS", THREADS),
        ("TREES", TREES),
        ("JOB_BYTES", size_of::<Job>() as u32),
        ("FEATURE_MASK", FlatForest::FEATURE_MASK),
        ("DEFAULT_RIGHT", FlatForest::DEFAULT_RIGHT),
        ("MEMBER", FlatForest::MEMBER),
        ("ZERO_IS_MISSING", FlatForest::ZERO_IS_MISSING),
        ("ONLY_VALUE", FlatForest::ONLY_VALUE),
        ("LINK_SIGMOID", LinkNumber::SIGMOID),
        ("LINK_SOFTMAX", LinkNumber::SOFTMAX),
        ("LINK_EXPONENTIAL", LinkNumber::EXPONENTIAL),
        ("LINK_EXP2", LinkNumber::EXP2),
        ("LINK_LOG_ONE_PLUS_EXP", LinkNumber::LOG_ONE_PLUS_EXP),
        ("LINK_HINGE", LinkNumber::HINGE),
        ("LINK_SIGNED_SQUARE", LinkNumber::SIGNED_SQUARE),
        ("ANSWER_BOTH_CLASSES", AnswerNumber::BOTH_CLASSES),
        ("ANSWER_ABOVE", AnswerNumber::ABOVE),
        ("ANSWER_HIGHEST", AnswerNumber::HIGHEST),
    ];
    let mut options: Vec<String> = numbers.iter().map(|(name, number)| format!("-D{name}={number}u")).collect();
    options.push(format!("-DZERO_MAX={:e}f", FlatForest::ZERO_MAX));
    options.push(format!("--gpu-architecture=sm_{major}{minor}"));
    options.push("--fmad=false".to_owned());
    options.push("--std=c++17".to_owned());
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compilers cost time: one device with each of the generations that are in use.
    const COMPUTE_CAPABILITIES: [(i32, i32); 3] = [(7, 5), (9, 0), (12, 0)];

    /// The compiler; `None` with a sentence where it is not installed, which a test environment may forbid.
    fn installed() -> Option<&'static Nvrtc> {
        match nvrtc(&search()) {
            Ok(nvrtc) => Some(nvrtc),
            Err(missing) if std::env::var_os("NEREID_REQUIRE_NVRTC").is_none() => {
                println!("skipped: {missing}");
                None
            }
            Err(missing) => panic!("{missing}"),
        }
    }

    #[test]
    fn the_kernel_compiles_for_old_and_new_devices() {
        let Some(nvrtc) = installed() else { return };
        for compute_capability in COMPUTE_CAPABILITIES {
            let code = compile(nvrtc, compute_capability).unwrap_or_else(|error| panic!("{error}"));
            assert!(code.starts_with(b"\x7fELF"), "no code of a device");
            for name in [&b"forest_single"[..], b"forest_double"] {
                assert!(code.windows(name.len()).any(|window| window == name));
            }
        }
    }

    #[test]
    fn a_device_that_the_compiler_does_not_know_is_told() {
        let Some(nvrtc) = installed() else { return };
        let refused = compile(nvrtc, (99, 0)).unwrap_err();
        assert!(
            refused.contains("forest.cu") && refused.ends_with("(for devices of compute capability 99.0)"),
            "{refused}"
        );
    }

    #[test]
    fn a_source_with_a_mistake_is_answered_with_the_compilers_words() {
        let Some(nvrtc) = installed() else { return };
        let refused = nvrtc.compile("x.cu", "__global__ void f() { nonsense; }", &[]).unwrap_err();
        assert!(refused.contains("NVRTC_ERROR_COMPILATION") && refused.contains("nonsense"), "{refused}");
    }
}
