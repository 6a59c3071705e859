//! `cargo xtask setup`: what the repository needs from outside, one file per component.
//!
//! Everything lands in `.nereid/` (git-ignored, safe to delete). A component that is there is left alone, so a second
//! run takes no time.

pub(crate) mod model_analyzer;
pub(crate) mod nvrtc;
pub(crate) mod onnxruntime;
pub(crate) mod onnxruntime_gpu;
pub(crate) mod openvino;
pub(crate) mod perf_analyzer;
pub(crate) mod python;
pub(crate) mod pytorch;
pub(crate) mod redis;
pub(crate) mod tensorrt;

use nereid_toolchains::Toolchain;

pub(crate) use nereid_toolchains::debian;

use crate::{arguments::Arguments, command::announce, failure::Failure, workspace::Workspace};

/// Something that can be fetched.
pub(crate) struct Component {
    pub(crate) name: &'static str,
    /// What it is for, and what fetching it costs.
    purpose: &'static str,
    /// Says in a few words what is there, or `None` if it must be fetched.
    find: fn(&Workspace) -> Option<String>,
    fetch: fn(&Workspace) -> Result<(), Failure>,
}

/// The library that serves ONNX models.
pub(crate) const ONNXRUNTIME: Component = Component {
    name: "onnxruntime",
    purpose: "the ONNX Runtime library that serves .onnx models (24 MB download)",
    find: onnxruntime::find,
    fetch: onnxruntime::fetch,
};
/// The same with its providers for GPUs; nothing fetches it but who asks for it.
pub(crate) const ONNXRUNTIME_GPU: Component = Component {
    name: "onnxruntime-gpu",
    purpose: "ONNX Runtime for GPUs, with CUDA 13 and cuDNN 9 (1.3 GB download, 2.3 GB on disk)",
    find: onnxruntime_gpu::find,
    fetch: onnxruntime_gpu::fetch,
};
/// The library that executes IR files and SavedModels.
pub(crate) const OPENVINO: Component = Component {
    name: "openvino",
    purpose: "OpenVINO for .xml files and TensorFlow SavedModels (59 MB download, 94 MB on disk)",
    find: openvino::find,
    fetch: openvino::fetch,
};
/// The library that compiles the kernel of forests.
pub(crate) const NVRTC: Component = Component {
    name: "nvrtc",
    purpose: "CUDA's run-time compiler, for forests on GPUs (90 MB download, 114 MB on disk)",
    find: nvrtc::find,
    fetch: nvrtc::fetch,
};
/// The library that executes TorchScript models.
pub(crate) const PYTORCH: Component = Component {
    name: "pytorch",
    purpose: "LibTorch and the shim that serves .pt models (544 MB download, 0.5 GB on disk, compiles for 20 s)",
    find: pytorch::find,
    fetch: pytorch::fetch,
};
/// The shim that executes plans; nothing fetches it but who asks for it.
pub(crate) const TENSORRT: Component = Component {
    name: "tensorrt",
    purpose: "the shim that serves TensorRT plans, and TensorRT's lean runtime (44 MB download, 105 MB on disk; headers from a crate)",
    find: tensorrt::find,
    fetch: tensorrt::fetch,
};
/// The compiler that turns plugins into components.
pub(crate) const GUESTS: Component = Component {
    name: "guests",
    purpose: Toolchain::RUST.purpose,
    find: |workspace| (Toolchain::RUST.find)(&workspace.home()),
    fetch: |workspace| (Toolchain::RUST.fetch)(&workspace.home()),
};
/// The clients that users have.
pub(crate) const PYTHON: Component = Component {
    name: "python",
    purpose: "a Python environment with tritonclient, numpy and pytest (about 50 MB download)",
    find: python::find,
    fetch: python::fetch,
};
/// The load generator that users have.
pub(crate) const PERF_ANALYZER: Component = Component {
    name: "perf_analyzer",
    purpose: "NVIDIA's perf_analyzer 2.51.0 with the two libraries it links (17 MB download)",
    find: perf_analyzer::find,
    fetch: perf_analyzer::fetch,
};
/// The tuner that users have.
pub(crate) const MODEL_ANALYZER: Component = Component {
    name: "model_analyzer",
    purpose: "NVIDIA's Model Analyzer 1.58.0 in a Python environment of its own (120 MB download)",
    find: model_analyzer::find,
    fetch: model_analyzer::fetch,
};

/// The server that answers can be cached in.
pub(crate) const REDIS: Component = Component {
    name: "redis",
    purpose: "a Redis server for the tests of the response cache (1.4 MB download)",
    find: redis::find,
    fetch: redis::fetch,
};

/// What makes components of Python plugins.
pub(crate) const PLUGIN_PYTHON: Component = Component {
    name: "plugin-python",
    purpose: Toolchain::PYTHON.purpose,
    find: |workspace| (Toolchain::PYTHON.find)(&workspace.home()),
    fetch: |workspace| (Toolchain::PYTHON.fetch)(&workspace.home()),
};

/// What makes components of JavaScript plugins.
pub(crate) const PLUGIN_JAVASCRIPT: Component = Component {
    name: "plugin-javascript",
    purpose: Toolchain::JAVASCRIPT.purpose,
    find: |workspace| (Toolchain::JAVASCRIPT.find)(&workspace.home()),
    fetch: |workspace| (Toolchain::JAVASCRIPT.fetch)(&workspace.home()),
};

/// What makes components of C plugins.
pub(crate) const PLUGIN_C: Component = Component {
    name: "plugin-c",
    purpose: Toolchain::C.purpose,
    find: |workspace| (Toolchain::C.find)(&workspace.home()),
    fetch: |workspace| (Toolchain::C.fetch)(&workspace.home()),
};

/// What makes components of Go plugins.
pub(crate) const PLUGIN_GO: Component = Component {
    name: "plugin-go",
    purpose: Toolchain::GO.purpose,
    find: |workspace| (Toolchain::GO.find)(&workspace.home()),
    fetch: |workspace| (Toolchain::GO.fetch)(&workspace.home()),
};

/// The compilers for plugins in languages other than Rust.
pub(crate) const PLUGIN_LANGUAGES: [&Component; 4] = [&PLUGIN_PYTHON, &PLUGIN_JAVASCRIPT, &PLUGIN_C, &PLUGIN_GO];

/// The libraries of backends that every test has.
pub(crate) const BACKENDS: [&Component; 4] = [&ONNXRUNTIME, &NVRTC, &OPENVINO, &PYTORCH];

/// All that the end-to-end suites use.
pub(crate) const CLIENTS: [&Component; 4] = [&PYTHON, &PERF_ANALYZER, &MODEL_ANALYZER, &REDIS];

/// The words that `setup` understands, and what each stands for.
const GROUPS: [(&str, &[&Component]); 16] = [
    ("onnxruntime", &[&ONNXRUNTIME]),
    ("nvrtc", &[&NVRTC]),
    ("openvino", &[&OPENVINO]),
    ("pytorch", &[&PYTORCH]),
    ("guests", &[&GUESTS]),
    ("python", &[&PYTHON]),
    ("perf_analyzer", &[&PERF_ANALYZER]),
    ("model_analyzer", &[&MODEL_ANALYZER]),
    ("redis", &[&REDIS]),
    ("plugin-python", &[&PLUGIN_PYTHON]),
    ("plugin-javascript", &[&PLUGIN_JAVASCRIPT]),
    ("plugin-c", &[&PLUGIN_C]),
    ("plugin-go", &[&PLUGIN_GO]),
    ("plugins", &PLUGIN_LANGUAGES),
    ("clients", &CLIENTS),
    (
        "all",
        &[
            &ONNXRUNTIME,
            &NVRTC,
            &OPENVINO,
            &PYTORCH,
            &GUESTS,
            &PYTHON,
            &PERF_ANALYZER,
            &MODEL_ANALYZER,
            &REDIS,
            &PLUGIN_PYTHON,
            &PLUGIN_JAVASCRIPT,
            &PLUGIN_C,
            &PLUGIN_GO,
        ],
    ),
];

pub(crate) fn run(workspace: &Workspace, arguments: Arguments) -> Result<(), Failure> {
    let mut words = arguments.rest();
    if words.is_empty() {
        words.push("all".to_owned());
    }
    for word in words {
        let Some((_, components)) = GROUPS.iter().find(|(name, _)| *name == word) else {
            let names: Vec<_> = GROUPS.iter().map(|(name, _)| *name).collect();
            return Err(Failure::new(format!(
                "nothing to set up is called '{word}', expected one of {}",
                names.join(", ")
            )));
        };
        ensure(workspace, components)?;
    }
    Ok(())
}

/// Fetches those of `components` that are not there yet.
pub(crate) fn ensure(workspace: &Workspace, components: &[&Component]) -> Result<(), Failure> {
    for component in components {
        if let Some(found) = (component.find)(workspace) {
            announce(format_args!("{}: {found}", component.name));
            continue;
        }
        announce(format_args!("{}: fetching {}", component.name, component.purpose));
        (component.fetch)(workspace)?;
        let Some(found) = (component.find)(workspace) else {
            return Err(Failure::new(format!("{} is still not usable after it was fetched", component.name)));
        };
        announce(format_args!("{}: {found}", component.name));
    }
    Ok(())
}
