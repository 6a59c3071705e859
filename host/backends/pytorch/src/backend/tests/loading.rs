//! Loading: what a file must be, what a configuration must say, where instances can be.

use super::*;

#[test]
fn files_that_are_no_torchscript_are_refused_in_libtorchs_words() {
    let good = model_bytes("digits_mlp");
    let onnx = fs::read(workspace().join("tests/models/add_sub.onnx")).unwrap();
    // In the part that says what the tensors are; among the weights no number is wrong.
    let mut corrupt = good.clone();
    let part = corrupt.windows(8).position(|name| name == b"data.pkl").unwrap();
    corrupt[part + 100..part + 200].fill(0xa5);
    for file in [&[] as &[u8], b"not a model", &onnx, &good[..good.len() / 2], &corrupt] {
        let error = load_error(file, digits());
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().starts_with("model 'digits_mlp': LibTorch cannot load "), "{error}");
        assert!(!error.message().contains('\n') && !error.message().contains("Exception raised from"), "{error}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let (directory, source) = source_of(b"", digits());
    fs::remove_file(directory.path().join("model.pt")).unwrap();
    let error = backend().load(&source).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().ends_with("model.pt does not exist"), "{error}");
}

#[test]
fn a_configuration_without_tensors_is_told_what_forward_takes() {
    let config = ModelConfig { name: "add_sub".into(), ..ModelConfig::default() };
    let (_directory, source) = source_of(&model_bytes("add_sub"), config.clone());
    for error in [backend().complete_config(&source).unwrap_err(), load_error(&model_bytes("add_sub"), config)] {
        assert!(error.message().ends_with("write input and output into config.pbtxt. Its forward takes (left, right)"));
    }
}

#[test]
fn a_configuration_that_does_not_fit_is_refused() {
    let mut one_input = add_sub();
    one_input.inputs.pop();
    let error = load_error(&model_bytes("add_sub"), one_input);
    let text = "model 'add_sub': the configuration has 1 inputs, and the model's forward takes 2: (left, right)";
    assert_eq!(error.message(), text);
    let mut words = add_sub();
    words.inputs[0].data_type = DataType::Bytes.into();
    let error = load_error(&model_bytes("add_sub"), words);
    assert!(error.message().contains("input 'INPUT__0' is TYPE_STRING"), "{error}");
    let mut operations = add_sub();
    operations.operation_library_filenames = Some(vec!["x.so".into()]);
    assert_eq!(load_error(&model_bytes("add_sub"), operations).kind(), ErrorKind::Unsupported);
}

#[test]
fn an_instance_on_a_gpu_is_refused_where_there_is_none() {
    let loaded = load(add_sub());
    let spec = InstanceSpec { name: "add_sub_0".into(), kind: InstanceKind::Gpu, device_id: 0 };
    let error = loaded.model.new_instance(&spec).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let text = "instance 'add_sub_0' of model 'add_sub' is of KIND_GPU on device 0, and GPUs were not looked for; use kind: \
                KIND_CPU";
    assert_eq!(error.message(), text);
    assert!(loaded.model.readiness().is_ok());
}

#[test]
fn a_libtorch_without_its_part_for_cuda_says_which_file_is_missing() {
    let backend = backend();
    let torch = torch(&backend.settings, &backend.gpus, "m").unwrap();
    match torch.cuda() {
        Err(problem) => assert!(problem.ends_with("/lib/libtorch_cuda.so does not exist"), "{problem}"),
        // The whole LibTorch is installed on a machine with a GPU.
        Ok(devices) => assert!(devices > 0),
    }
}

#[test]
fn a_model_is_loaded_where_it_says_itself() {
    let loaded = load(add_sub());
    let spec = InstanceSpec { name: "add_sub_0".into(), kind: InstanceKind::Model, device_id: 0 };
    assert!(loaded.model.new_instance(&spec).is_ok());
}
