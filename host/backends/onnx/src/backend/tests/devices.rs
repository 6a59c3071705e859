//! Models for GPUs where there are none, or where the library was built without them; and how sessions hold memory.

use nereid_inference::config::{Accelerator, ExecutionAccelerators, Optimization};

use super::*;

fn gpu_group(config: &mut ModelConfig) {
    config.instance_groups = vec![InstanceGroup { kind: InstanceKind::Gpu, gpus: vec![0], ..InstanceGroup::default() }];
}

fn accelerator(name: &str, parameters: &[(&str, &str)]) -> Option<Optimization> {
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let gpu = vec![Accelerator { name: name.into(), parameters }];
    let execution_accelerators = Some(ExecutionAccelerators { gpu, cpu: vec![] });
    Some(Optimization { execution_accelerators, ..Optimization::default() })
}

/// The error of a model for GPU 0 where the library was built with CUDA, or without, as `has_cuda` says; `None`, said, where
/// it is the other.
fn refusal(has_cuda: bool, change: impl FnOnce(&mut ModelConfig)) -> Option<String> {
    let (_directory, mut source) = fixture("add_sub");
    source.config = backend().complete_config(&source).unwrap();
    if providers::has_cuda() != has_cuda {
        let built = if has_cuda { "without" } else { "with" };
        eprintln!("skipped: the ONNX Runtime here was built {built} CUDA");
        return None;
    }
    gpu_group(&mut source.config);
    change(&mut source.config);
    let error = load_error(&source);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    Some(error.message().to_owned())
}

#[test]
fn a_library_without_cuda_refuses_a_model_for_gpus_in_its_own_words() {
    let Some(text) = refusal(false, |_| ()) else { return };
    assert_eq!(
        text,
        "model 'add_sub': ONNX Runtime's CUDA provider cannot be used on GPU 0: CUDA execution provider is not enabled in \
         this build. Run `cargo xtask backend onnxruntime-gpu`, name a GPU build of the library in \
         NEREID_ONNXRUNTIME_LIBRARY, or use kind: KIND_CPU"
    );
}

#[test]
fn tensorrt_is_asked_for_first() {
    let written = accelerator("tensorrt", &[("precision_mode", "FP16"), ("trt_engine_cache_enable", "1")]);
    let Some(text) = refusal(false, |config| config.optimization = written) else { return };
    let expected = "model 'add_sub': ONNX Runtime's TensorRT provider cannot be used on GPU 0: TensorRT execution provider \
                    is not enabled in this build. ";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn a_library_with_cuda_and_no_cuda_beside_it_says_what_to_install() {
    if Path::new("/dev/nvidiactl").exists() {
        return eprintln!("skipped: there is a GPU here, which this test is about the lack of");
    }
    for accelerated in ["cuda", "tensorrt"] {
        let Some(text) = refusal(true, |config| config.optimization = accelerator(accelerated, &[])) else { return };
        let missing = text.contains(".so.") && text.contains("Install ");
        assert!(missing && text.contains("libonnxruntime_providers_"), "{text}");
        eprintln!("{text}");
    }
}

#[test]
fn a_gpu_that_is_not_there_is_named() {
    let loaded = load("add_sub");
    let spec = InstanceSpec { name: "add_sub_0_gpu1".into(), kind: InstanceKind::Gpu, device_id: 1 };
    let error = loaded.model.new_instance(&spec).err().unwrap();
    assert_eq!(
        error.message(),
        "instance 'add_sub_0_gpu1' of model 'add_sub' is for GPU 1, which there is not: GPUs were not looked for; use kind: \
         KIND_CPU"
    );
}

#[test]
fn accelerators_of_gpus_say_nothing_to_instances_on_the_cpu() {
    let loaded = load_with("add_sub", |config| config.optimization = accelerator("tensorrt", &[]));
    assert!(!loaded.instance().takes_device_memory());
    assert!(loaded.infer(add_sub_inputs(1, 2)).is_ok());
    let (_directory, mut source) = fixture("add_sub");
    source.config = loaded.config.clone();
    source.config.optimization = accelerator("tensorrt", &[("precison_mode", "FP16")]);
    assert!(load_error(&source).message().contains("has no parameter 'precison_mode'"));
}

#[test]
fn memory_parameters_reach_the_session() {
    let with = |parameters: &[(&str, &str)]| {
        load_with("mlp", |config| {
            config.parameters =
                parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        })
    };
    let x = || vec![NamedTensor::new("X", Tensor::from_elements([1, 4], &[0.0_f32; 4]).unwrap())];
    let without_arena = with(&[("enable_mem_arena", "0"), ("enable_mem_pattern", "0")]);
    assert!(without_arena.infer(x()).is_ok());
    assert!(without_arena.model.memory_usage().is_empty(), "an arena counts, and there is none");
    let shrinking = with(&[("memory.enable_memory_arena_shrinkage", "cpu:0;gpu:0"), ("enable_mem_arena", "1")]);
    assert!(shrinking.infer(x()).is_ok(), "the session has no arena on a GPU, and is not told of one");
    let device_allocator = with(&[("session.use_device_allocator_for_initializers", "1")]);
    assert!(device_allocator.infer(x()).is_ok());
}
