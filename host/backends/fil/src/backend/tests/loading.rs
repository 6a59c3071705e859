//! Completion and refusal: what a configuration and a file make together.

use super::*;

fn input(name: &str, data_type: DataType, dims: &[i64]) -> ModelInput {
    ModelInput { name: name.into(), data_type: data_type.into(), dims: dims.to_vec(), ..ModelInput::default() }
}

fn output(name: &str, data_type: DataType, dims: &[i64]) -> ModelOutput {
    ModelOutput { name: name.into(), data_type: data_type.into(), dims: dims.to_vec(), ..ModelOutput::default() }
}

/// A whole configuration for `xgb_regression`, changed.
fn changed(change: impl FnOnce(&mut ModelConfig)) -> (tempfile::TempDir, ModelSource) {
    let (directory, mut source) = fixture("xgb_regression", "xgboost.ubj", &[]);
    source.config.max_batch_size = 64;
    source.config.inputs = vec![input("input__0", DataType::Fp32, &[10])];
    source.config.outputs = vec![output("output__0", DataType::Fp32, &[1])];
    change(&mut source.config);
    (directory, source)
}

fn load_error(source: &ModelSource) -> InferError {
    FilBackend::default().load(source).err().unwrap_or_else(|| panic!("it loaded"))
}

#[test]
fn a_file_alone_makes_a_whole_configuration() {
    let config = load(fixture("xgb_regression", "xgboost.ubj", &[])).config;
    assert_eq!(config.max_batch_size, 32_768);
    assert_eq!(config.scheduling, Some(Scheduling::Dynamic(DynamicBatching::default())));
    assert_eq!(config.inputs, [input("input__0", DataType::Fp32, &[10])]);
    assert_eq!(config.outputs, [output("output__0", DataType::Fp32, &[1])]);
    assert_eq!(config.parameter("model_type"), Some("xgboost_ubj"));
}

#[test]
fn a_model_is_recognised_by_any_of_its_files() {
    let known = [
        ("xgboost_json", "xgboost.json"),
        ("xgboost_ubj", "xgboost.ubj"),
        ("lightgbm", "model.txt"),
        ("treelite_checkpoint", "checkpoint.tl"),
        ("nereid_forest", "forest.json"),
        ("xgboost", "xgboost.model"),
    ];
    assert_eq!(FilBackend::default().model_filenames(), known.map(|(_, file)| file));
    assert_eq!(Format::ALL.map(|format| (format.model_type(), format.default_filename())), known);
}

#[test]
fn what_is_written_stays() {
    let config = load(changed(|config| config.max_batch_size = 7)).config;
    assert_eq!((config.max_batch_size, config.scheduling), (7, None));
}

#[test]
fn a_configuration_that_contradicts_the_file_is_refused_with_and_without_completion() {
    let forest_takes = "but the forest takes 'input__0' TYPE_FP32 [10]";
    for (change, problem) in [
        (
            (|config: &mut ModelConfig| config.inputs[0].dims = vec![9]) as fn(&mut ModelConfig),
            format!("input 'input__0' TYPE_FP32 [9] is in the configuration, {forest_takes}"),
        ),
        (
            |config| config.inputs[0].data_type = DataType::Fp64.into(),
            format!("input 'input__0' TYPE_FP64 [10] is in the configuration, {forest_takes}"),
        ),
        (
            |config| config.inputs[0].name = "INPUT0".into(),
            format!("input 'INPUT0' TYPE_FP32 [10] is in the configuration, {forest_takes}"),
        ),
        (
            |config| config.inputs[0].dims = vec![2, 10],
            format!("input 'input__0' TYPE_FP32 [2,10] is in the configuration, {forest_takes}"),
        ),
        (
            |config| config.inputs.push(config.inputs[0].clone()),
            "the configuration has 2 inputs, expected one: 'input__0' TYPE_FP32 [10]".to_owned(),
        ),
        (
            |config| config.outputs[0].dims = vec![2],
            "output 'output__0' TYPE_FP32 [2] is in the configuration, but the forest gives TYPE_FP32 [1]".to_owned(),
        ),
        (
            |config| config.outputs[0].data_type = DataType::Int64.into(),
            "output 'output__0' TYPE_INT64 [1] is in the configuration, but the forest gives TYPE_FP32 [1]".to_owned(),
        ),
        (
            |config| config.outputs[0].name = "probabilities".into(),
            "the forest has no output 'probabilities'".to_owned(),
        ),
    ] {
        let (_directory, source) = changed(change);
        for error in [load_error(&source), completion_error(&source)] {
            assert!(error.message().starts_with(&format!("model 'm': {problem}")), "{error}");
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
    }
}

#[test]
fn a_class_where_scores_are_meant_says_what_to_set() {
    let (_directory, mut source) = fixture("xgb_classes", "xgboost.ubj", &[]);
    source.config.outputs = vec![output("output__0", DataType::Fp32, &[3])];
    let error = completion_error(&source);
    assert!(error.message().ends_with("set the parameter 'predict_proba' to 'true'"), "{error}");
}

#[test]
fn the_file_may_have_another_name() {
    for (name, parameters) in [("mine.ubj", &[][..]), ("mine.bin", &[("model_type", "xgboost_ubj")])] {
        let bytes = fs::read(models().join("xgb_regression.ubj")).unwrap();
        let (directory, mut source) = source_of(name, &bytes, parameters);
        source.config.default_model_filename = name.into();
        assert_eq!(load((directory, source)).config.parameter("model_type"), Some("xgboost_ubj"));
    }
    let (_directory, mut source) = source_of("mine.bin", b"", &[]);
    source.config.default_model_filename = "mine.bin".into();
    let error = completion_error(&source);
    assert!(
        error.message().contains("what kind of file mine.bin is must stand in the parameter 'model_type'"),
        "{error}"
    );
}

#[test]
fn xgboost_files_without_a_kind_are_told_apart() {
    for (model, ending) in [("xgb_binary", "json"), ("xgb_regression", "ubj")] {
        let bytes = fs::read(models().join(format!("{model}.{ending}"))).unwrap();
        load(source_of("xgboost.model", &bytes, &[("model_type", "xgboost")]));
    }
    let (_directory, source) = source_of("xgboost.model", b"binf\0\0\0\0", &[("model_type", "xgboost")]);
    let error = completion_error(&source);
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("XGBoost's old binary format is not read"), "{error}");
}

#[test]
fn missing_and_broken_files_are_named() {
    let (directory, source) = source_of("something.else", b"", &[]);
    let error = completion_error(&source);
    let text = format!("model 'm': {} has none of the files xgboost.json, xgboost.ubj,", directory.path().display());
    assert!(error.message().starts_with(&text), "{error}");
    let (directory, source) = source_of("something.else", b"", &[("model_type", "lightgbm")]);
    let path = directory.path().join("model.txt");
    let text = format!("model 'm': the model file {} does not exist", path.display());
    assert_eq!(completion_error(&source).message(), text);
    for (file, model_type) in [
        ("xgboost.json", "xgboost_json"),
        ("xgboost.ubj", "xgboost_ubj"),
        ("model.txt", "lightgbm"),
        ("checkpoint.tl", "treelite_checkpoint"),
        ("forest.json", "nereid_forest"),
    ] {
        for bytes in [&b""[..], b"not a model at all", &[0xff; 64]] {
            let (directory, source) = source_of(file, bytes, &[]);
            let error = completion_error(&source);
            let path = directory.path().join(file);
            let prefix = format!("model 'm': cannot read {}: as {model_type}: ", path.display());
            let is_told = error.message().starts_with(&prefix) || error.kind() == ErrorKind::Unsupported;
            assert!(is_told, "{error}");
        }
    }
}

#[test]
fn fields_that_are_not_served_are_refused_by_name() {
    let (_directory, source) = changed(|config| config.inputs[0].allow_ragged_batch = true);
    assert_eq!(
        load_error(&source).message(),
        "model 'm': the fil backend does not serve 'input.allow_ragged_batch'; remove it from the configuration"
    );
}

#[test]
fn an_instance_on_a_gpu_that_no_group_names_is_refused() {
    let loaded = load(fixture("xgb_regression", "xgboost.ubj", &[]));
    let spec = InstanceSpec { name: "m_0_gpu0".into(), kind: InstanceKind::Gpu, device_id: 0 };
    let error = loaded.model.new_instance(&spec).err().unwrap();
    let text =
        "instance 'm_0_gpu0' of model 'm': the forest is not on GPU 0, which no instance_group of kind: KIND_GPU names";
    assert_eq!(error.message(), text);
}

#[test]
fn a_gpu_that_is_not_there_is_named_at_load() {
    let (_directory, source) = changed(|config| {
        config.instance_groups =
            vec![InstanceGroup { kind: InstanceKind::Gpu, gpus: vec![1], ..InstanceGroup::default() }];
    });
    let error = load_error(&source);
    assert_eq!(
        error.message(),
        "model 'm': its configuration asks for kind: KIND_GPU on GPU 1, but there is no GPU: GPUs were not looked for; \
         use kind: KIND_CPU"
    );
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
