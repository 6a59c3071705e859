//! Completion and refusal: what a configuration and a file make together.

use super::*;

#[test]
fn a_file_alone_makes_a_whole_configuration() {
    let config = load("add_sub").config;
    assert_eq!(config.max_batch_size, 4);
    assert_eq!(config.scheduling, Some(Scheduling::Dynamic(DynamicBatching::default())));
    let shown: Vec<_> = config.inputs.iter().map(|input| (input.name.as_str(), input.dims.as_slice())).collect();
    assert_eq!(shown, [("INPUT0", [16_i64].as_slice()), ("INPUT1", &[16])]);
    assert_eq!(config.outputs[1].data_type, DataType::Int32.into());
    assert_eq!((config.instance_groups[0].kind, config.instance_groups[0].count), (InstanceKind::Cpu, 2));
    assert_eq!(load("dynamic_shapes").config.max_batch_size, 0);
}

#[test]
fn an_output_that_the_protocol_cannot_carry_is_left_out_or_refused_by_name() {
    let config = load("sequence_output").config;
    assert_eq!(config.outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>(), ["SAME"]);
    let (_directory, mut source) = fixture("sequence_output");
    source.config = config;
    source.config.outputs[0].name = "PAIR".into();
    let error = load_error(&source);
    assert!(
        error.message().starts_with("model 'sequence_output': output 'PAIR' of model.onnx is Sequence<"),
        "{error}"
    );
}

#[test]
fn a_configuration_that_contradicts_the_file_is_refused_with_and_without_completion() {
    let (_directory, mut source) = fixture("add_sub");
    let input = |name: &str, dims: &[i64]| ModelInput {
        name: name.into(),
        data_type: DataType::Int32.into(),
        dims: dims.to_vec(),
        ..ModelInput::default()
    };
    let output = ModelOutput {
        name: "OUTPUT0".into(),
        data_type: DataType::Int32.into(),
        dims: vec![16],
        ..ModelOutput::default()
    };
    source.config.max_batch_size = 8;
    source.config.inputs = vec![input("INPUT0", &[16]), input("INPUT1", &[3])];
    source.config.outputs = vec![output];
    let expected = "model 'add_sub': input 'INPUT1' is TYPE_INT32 [-1,3] in the configuration (max_batch_size 8), but \
                    TYPE_INT32 [-1,16] in model.onnx";
    assert_eq!(load_error(&source).message(), expected);
    assert_eq!(backend().complete_config(&source).unwrap_err().message(), expected);
}

#[test]
fn a_batch_size_for_a_file_that_cannot_batch_is_refused() {
    let (_directory, mut source) = fixture("dynamic_shapes");
    source.config.max_batch_size = 8;
    let error = backend().complete_config(&source).unwrap_err();
    assert!(error.message().contains("output 'POSITIONS' is TYPE_INT64"), "{error}");
    assert!(error.message().ends_with("so it cannot batch: set max_batch_size to 0"), "{error}");
}

#[test]
fn a_corrupt_file_is_refused_and_the_next_one_loads() {
    for bytes in [b"".as_slice(), b"not a protobuf message at all", &[0xff; 64]] {
        let (directory, source) = source_of(bytes, ModelConfig { name: "broken".into(), ..ModelConfig::default() });
        let error = backend().complete_config(&source).unwrap_err();
        let path = directory.path().join("model.onnx");
        let prefix = format!("model 'broken': ONNX Runtime cannot load {}: ", path.display());
        assert!(error.message().starts_with(&prefix), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    assert!(load("add_sub").infer(add_sub_inputs(1, 2)).is_ok());
}

#[test]
fn a_truncated_file_is_refused() {
    let whole = fs::read(workspace().join("tests/models/mlp.onnx")).unwrap();
    let (_directory, source) =
        source_of(&whole[..whole.len() / 2], ModelConfig { name: "half".into(), ..ModelConfig::default() });
    let error = backend().complete_config(&source).unwrap_err();
    assert!(error.message().starts_with("model 'half': ONNX Runtime cannot load "), "{error}");
}

#[test]
fn an_operator_set_of_the_future_is_refused_by_number() {
    let (_directory, source) = fixture("future_opset");
    let error = backend().complete_config(&source).unwrap_err();
    assert!(error.message().contains("Opset 99 is under development"), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let (directory, mut source) = fixture("add_sub");
    source.config.default_model_filename = "other.onnx".into();
    let expected =
        format!("model 'add_sub': the model file {} does not exist", directory.path().join("other.onnx").display());
    assert_eq!(backend().complete_config(&source).unwrap_err().message(), expected);
}

#[test]
fn a_field_that_is_not_served_is_refused_by_name() {
    let (_directory, mut source) = fixture("add_sub");
    source.config = backend().complete_config(&source).unwrap();
    source.config.operation_library_filenames = Some(vec!["operators.so".into()]);
    assert_eq!(
        load_error(&source).message(),
        "model 'add_sub': the onnxruntime backend does not serve 'model_operations'; remove it from the configuration"
    );
}

#[test]
fn thread_and_optimisation_options_reach_the_session() {
    let loaded = load_with("mlp", |config| {
        config.parameters.insert("intra_op_thread_count".into(), "2".into());
        config.parameters.insert("inter_op_thread_count".into(), "2".into());
        config.parameters.insert("execution_mode".into(), "1".into());
    });
    let x = Tensor::from_elements([1, 4], &[0.0_f32; 4]).unwrap();
    let y = loaded.infer(vec![NamedTensor::new("X", x)]).unwrap();
    let found = y.output("Y").unwrap().elements::<f32>().unwrap().into_owned();
    assert!(found.iter().zip(MLP_ROW_1).all(|(found, expected)| (found - expected).abs() < 1e-5), "{found:?}");
}

#[test]
fn a_session_says_how_much_memory_it_uses() {
    let usage = load("mlp").model.memory_usage();
    assert!(matches!(usage[..], [MemoryUsage { kind: MemoryKind::Cpu, device_id: 0, bytes: 1.. }]), "{usage:?}");
}
