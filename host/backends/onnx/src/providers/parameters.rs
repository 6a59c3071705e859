//! The parameters of execution providers: Triton's names and values, and ONNX Runtime's for the same.
//!
//! A value is read here as far as its form goes; whether the number suits the provider is for the provider to say. What
//! is not in a table is refused with the table: an option with a typing error would otherwise change nothing, unnoticed.

/// One parameter of a provider.
#[derive(Clone, Copy)]
pub(super) struct Parameter {
    /// In a configuration.
    pub(super) name: &'static str,
    /// In ONNX Runtime.
    option: &'static str,
    form: Form,
}

/// What a value may be.
#[derive(Clone, Copy)]
enum Form {
    /// `1` or `true`, `0` or `false`.
    Flag,
    Integer,
    Bytes,
    Text,
    /// Words of the configuration, each with ONNX Runtime's word for it.
    OneOf(&'static [(&'static str, &'static str)]),
    /// FP32 is nothing to say; each other precision is a flag of its own.
    Precision,
    /// A parameter of Triton's that this host cannot follow, and why; off is fine.
    OnlyOff(&'static str),
}

/// An option as ONNX Runtime takes it.
pub(super) type ProviderOption = (&'static str, String);

const CONVOLUTION_SEARCH: Form = Form::OneOf(&[
    ("0", "EXHAUSTIVE"),
    ("1", "HEURISTIC"),
    ("2", "DEFAULT"),
    ("EXHAUSTIVE", "EXHAUSTIVE"),
    ("HEURISTIC", "HEURISTIC"),
    ("DEFAULT", "DEFAULT"),
]);

const ARENA_EXTENSION: Form = Form::OneOf(&[
    ("0", "kNextPowerOfTwo"),
    ("1", "kSameAsRequested"),
    ("kNextPowerOfTwo", "kNextPowerOfTwo"),
    ("kSameAsRequested", "kSameAsRequested"),
]);

/// A graph is replayed with the addresses that it was captured with, and each batch has memory of its own here.
const NO_CAPTURE: Form = Form::OnlyOff(
    "a captured graph reads and writes the addresses of its first run, and this server binds the memory of each batch",
);

/// Loading a model must not run code that somebody put beside it.
const NO_PLUGINS: Form =
    Form::OnlyOff("it would load native code into the server by a line of a model's configuration");

const fn same(name: &'static str, form: Form) -> Parameter {
    Parameter { name, option: name, form }
}

/// Those that a model may also write among its own `parameters`, as Triton's older configurations do.
pub(super) const CUDA_OF_THE_MODEL: [Parameter; 4] = [
    same("cudnn_conv_algo_search", CONVOLUTION_SEARCH),
    same("gpu_mem_limit", Form::Bytes),
    same("arena_extend_strategy", ARENA_EXTENSION),
    same("do_copy_in_default_stream", Form::Flag),
];

/// `gpu_execution_accelerator { name: "cuda" }`.
pub(super) const CUDA: [Parameter; 16] = [
    same("cudnn_conv_algo_search", CONVOLUTION_SEARCH),
    same("gpu_mem_limit", Form::Bytes),
    same("arena_extend_strategy", ARENA_EXTENSION),
    same("do_copy_in_default_stream", Form::Flag),
    same("cudnn_conv_use_max_workspace", Form::Flag),
    same("cudnn_conv1d_pad_to_nc1d", Form::Flag),
    same("use_ep_level_unified_stream", Form::Flag),
    same("use_tf32", Form::Flag),
    same("prefer_nhwc", Form::Flag),
    same("fuse_conv_bias", Form::Flag),
    same("sdpa_kernel", Form::Integer),
    same("enable_skip_layer_norm_strict_mode", Form::Flag),
    same("tunable_op_enable", Form::Flag),
    same("tunable_op_tuning_enable", Form::Flag),
    same("tunable_op_max_tuning_duration_ms", Form::Integer),
    same("enable_cuda_graph", NO_CAPTURE),
];

/// `gpu_execution_accelerator { name: "tensorrt" }`.
pub(super) const TENSORRT: [Parameter; 33] = [
    same("precision_mode", Form::Precision),
    Parameter { name: "max_workspace_size_bytes", option: "trt_max_workspace_size", form: Form::Bytes },
    same("trt_max_partition_iterations", Form::Integer),
    same("trt_min_subgraph_size", Form::Integer),
    Parameter { name: "int8_calibration_table_name", option: "trt_int8_calibration_table_name", form: Form::Text },
    Parameter {
        name: "int8_use_native_calibration_table",
        option: "trt_int8_use_native_calibration_table",
        form: Form::Flag,
    },
    same("trt_dla_enable", Form::Flag),
    same("trt_dla_core", Form::Integer),
    same("trt_engine_cache_enable", Form::Flag),
    same("trt_engine_cache_path", Form::Text),
    same("trt_engine_cache_prefix", Form::Text),
    same("trt_dump_subgraphs", Form::Flag),
    same("trt_force_sequential_engine_build", Form::Flag),
    same("trt_context_memory_sharing_enable", Form::Flag),
    same("trt_layer_norm_fp32_fallback", Form::Flag),
    same("trt_timing_cache_enable", Form::Flag),
    same("trt_timing_cache_path", Form::Text),
    same("trt_force_timing_cache", Form::Flag),
    same("trt_detailed_build_log", Form::Flag),
    same("trt_build_heuristics_enable", Form::Flag),
    same("trt_sparsity_enable", Form::Flag),
    same("trt_builder_optimization_level", Form::Integer),
    same("trt_auxiliary_streams", Form::Integer),
    same("trt_tactic_sources", Form::Text),
    same("trt_extra_plugin_lib_paths", NO_PLUGINS),
    same("trt_profile_min_shapes", Form::Text),
    same("trt_profile_max_shapes", Form::Text),
    same("trt_profile_opt_shapes", Form::Text),
    same("trt_cuda_graph_enable", NO_CAPTURE),
    same("trt_dump_ep_context_model", Form::Flag),
    same("trt_ep_context_file_path", Form::Text),
    same("trt_ep_context_embed_mode", Form::Integer),
    // Not in Triton's list: which engine suits which device; ONNX Runtime's own name.
    same("trt_engine_hw_compatible", Form::Flag),
];

/// ONNX Runtime's options for what is written.
///
/// # Errors
/// A parameter that is not in the table, or a value of another form.
pub(super) fn options<'a>(
    table: &[Parameter],
    written: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Result<Vec<ProviderOption>, String> {
    let mut options = Vec::new();
    for (name, value) in written {
        let Some(parameter) = table.iter().find(|parameter| parameter.name == *name) else {
            let names: Vec<&str> = table.iter().map(|parameter| parameter.name).collect();
            return Err(format!("no parameter '{name}'; it has {}", names.join(", ")));
        };
        options.extend(parameter.option(value)?);
    }
    Ok(options)
}

/// What a flag says; Triton's words.
pub(crate) fn flag(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

// === impl Parameter ===

impl Parameter {
    /// `None` where the value is what ONNX Runtime does anyway.
    pub(super) fn option(&self, value: &str) -> Result<Option<ProviderOption>, String> {
        let value = value.trim();
        let expected = |what: &str| format!("'{}' set to '{value}', expected {what}", self.name);
        let text = match self.form {
            Form::Flag => u8::from(flag(value).ok_or_else(|| expected("1, true, 0 or false"))?).to_string(),
            Form::Integer => value.parse::<i32>().map_err(|_| expected("a whole number"))?.to_string(),
            Form::Bytes => value.parse::<u64>().map_err(|_| expected("a number of bytes"))?.to_string(),
            Form::Text if value.contains('\0') => return Err(expected("text without a zero byte")),
            Form::Text => value.to_owned(),
            Form::OneOf(words) => one_of(words, value).map_err(|words| expected(&words))?.to_owned(),
            Form::Precision => return precision(value).ok_or_else(|| expected("FP32, FP16, BF16 or INT8")),
            Form::OnlyOff(_) if matches!(flag(value), Some(false)) || value.is_empty() => return Ok(None),
            Form::OnlyOff(reason) => return Err(format!("'{}' set, which is not served: {reason}", self.name)),
        };
        Ok(Some((self.option, text)))
    }
}

fn one_of(words: &'static [(&str, &str)], value: &str) -> Result<&'static str, String> {
    let known = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    words
        .iter()
        .find(|(word, _)| *word == value)
        .map(|(_, option)| *option)
        .ok_or_else(|| format!("one of {}", known()))
}

fn precision(value: &str) -> Option<Option<ProviderOption>> {
    let option = match value {
        "FP32" => return Some(None),
        "FP16" => "trt_fp16_enable",
        "BF16" => "trt_bf16_enable",
        "INT8" => "trt_int8_enable",
        _ => return None,
    };
    Some(Some((option, "1".to_owned())))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn check(table: &[Parameter], name: &str, value: &str, expected: Result<&[(&str, &str)], &str>) {
        let written = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        match (options(table, &written), expected) {
            (Ok(found), Ok(expected)) => {
                let found: Vec<_> = found.iter().map(|(option, value)| (*option, value.as_str())).collect();
                assert_eq!(found, expected, "{name}={value}");
            }
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{name}={value}: {found}"),
            (found, expected) => panic!("{name}={value}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn tritons_names_become_those_of_onnx_runtime() {
        check(&TENSORRT, "precision_mode", "FP32", Ok(&[]));
        check(&TENSORRT, "precision_mode", "FP16", Ok(&[("trt_fp16_enable", "1")]));
        check(&TENSORRT, "precision_mode", "BF16", Ok(&[("trt_bf16_enable", "1")]));
        check(&TENSORRT, "precision_mode", "INT8", Ok(&[("trt_int8_enable", "1")]));
        check(&TENSORRT, "max_workspace_size_bytes", "1073741824", Ok(&[("trt_max_workspace_size", "1073741824")]));
        check(&TENSORRT, "trt_engine_cache_enable", "True", Ok(&[("trt_engine_cache_enable", "1")]));
        check(&TENSORRT, "trt_engine_cache_path", "/cache", Ok(&[("trt_engine_cache_path", "/cache")]));
        check(&TENSORRT, "trt_profile_opt_shapes", "x:4x3", Ok(&[("trt_profile_opt_shapes", "x:4x3")]));
        check(&TENSORRT, "trt_auxiliary_streams", "-1", Ok(&[("trt_auxiliary_streams", "-1")]));
        check(&CUDA, "cudnn_conv_algo_search", "1", Ok(&[("cudnn_conv_algo_search", "HEURISTIC")]));
        check(&CUDA, "cudnn_conv_algo_search", "DEFAULT", Ok(&[("cudnn_conv_algo_search", "DEFAULT")]));
        check(&CUDA, "arena_extend_strategy", "1", Ok(&[("arena_extend_strategy", "kSameAsRequested")]));
        check(&CUDA, "gpu_mem_limit", "18446744073709551615", Ok(&[("gpu_mem_limit", "18446744073709551615")]));
        check(&CUDA, "use_tf32", "false", Ok(&[("use_tf32", "0")]));
    }

    #[test]
    fn a_value_of_another_form_is_refused_with_what_is_expected() {
        check(&TENSORRT, "precision_mode", "FP64", Err("'FP64', expected FP32, FP16, BF16 or INT8"));
        check(&TENSORRT, "trt_dla_core", "one", Err("'trt_dla_core' set to 'one', expected a whole number"));
        check(&CUDA, "gpu_mem_limit", "-1", Err("expected a number of bytes"));
        check(&CUDA, "use_tf32", "yes", Err("expected 1, true, 0 or false"));
        check(&CUDA, "cudnn_conv_algo_search", "3", Err("expected one of 0, 1, 2, EXHAUSTIVE"));
        check(&TENSORRT, "trt_engine_cache_path", "a\0b", Err("without a zero byte"));
    }

    #[test]
    fn what_is_unknown_is_refused_with_the_list() {
        check(
            &TENSORRT,
            "trt_fp8",
            "1",
            Err("no parameter 'trt_fp8'; it has precision_mode, max_workspace_size_bytes,"),
        );
        check(&CUDA, "device_id", "1", Err("no parameter 'device_id'; it has cudnn_conv_algo_search,"));
    }

    #[test]
    fn what_cannot_be_followed_may_only_be_off() {
        check(&CUDA, "enable_cuda_graph", "0", Ok(&[]));
        check(&CUDA, "enable_cuda_graph", "1", Err("'enable_cuda_graph' set, which is not served: a captured graph"));
        check(&TENSORRT, "trt_cuda_graph_enable", "true", Err("'trt_cuda_graph_enable' set, which is not served"));
        check(&TENSORRT, "trt_extra_plugin_lib_paths", "/x.so", Err("it would load native code into the server"));
    }

    #[test]
    fn no_parameter_is_listed_twice() {
        for table in [&TENSORRT[..], &CUDA, &CUDA_OF_THE_MODEL] {
            let mut names: Vec<&str> = table.iter().map(|parameter| parameter.name).collect();
            names.sort_unstable();
            let listed = names.len();
            names.dedup();
            assert_eq!(names.len(), listed);
        }
    }
}
