//! Answers: scores, probabilities, classes; batches, threads, and rows without a batch.

use super::*;

#[tokio::test]
async fn keeps_the_contract_of_every_backend() {
    for (model, file, parameters) in [
        ("xgb_binary", "xgboost.json", &[][..]),
        ("xgb_classes", "xgboost.ubj", &[("predict_proba", "true")]),
        ("lgb_categories", "model.txt", &[]),
        ("tl_forest", "checkpoint.tl", &[]),
        ("skl_forest", "forest.json", &[]),
    ] {
        let loaded = load(fixture(model, file, parameters));
        let inputs = request(&expected(model).0[..2]).inputs;
        let signature = loaded.signature.clone();
        contract::check(contract::ContractCase { model: &*loaded.model, signature, inputs }).await;
    }
}

#[test]
fn probabilities_are_the_frameworks() {
    let (rows, scores) = expected("xgb_classes");
    let loaded = load(fixture("xgb_classes", "xgboost.ubj", &[("predict_proba", "true")]));
    assert_eq!(loaded.config.outputs[0].dims, [3]);
    assert_close(&loaded.infer(&rows), &scores.concat());
}

#[test]
fn classes_are_the_most_probable_ones() {
    let (rows, scores) = expected("xgb_classes");
    let loaded = load(fixture("xgb_classes", "xgboost.ubj", &[("output_class", "true")]));
    assert_eq!(loaded.config.outputs[0].dims, [1]);
    let best =
        |scores: &Vec<f32>| (0..3).max_by(|left, right| scores[*left].total_cmp(&scores[*right])).unwrap() as f32;
    let classes: Vec<f32> = scores.iter().map(best).collect();
    assert_eq!(loaded.infer(&rows), classes);
    assert!(classes.contains(&0.0) && classes.contains(&1.0) && classes.contains(&2.0), "{classes:?}");
}

#[test]
fn two_classes_are_told_apart_by_a_threshold() {
    let (rows, scores) = expected("xgb_binary");
    for (parameters, threshold) in [(&[("model_type", "xgboost_json")][..], 0.5), (&[("threshold", "0.9")], 0.9)] {
        let classes = scores.iter().map(|score| f32::from(u8::from(score[0] > threshold)));
        let loaded = load(fixture("xgb_binary", "xgboost.json", parameters));
        assert_eq!(loaded.infer(&rows), classes.collect::<Vec<f32>>(), "{threshold}");
    }
    let between = scores.iter().filter(|score| (0.5..0.9).contains(&score[0])).count();
    assert!(between > 0, "no row tells the thresholds apart");
}

#[test]
fn both_classes_are_given_when_there_is_room_for_two() {
    let (rows, scores) = expected("xgb_binary");
    let one = load(fixture("xgb_binary", "xgboost.json", &[("predict_proba", "true")]));
    assert_close(&one.infer(&rows), &scores.concat());
    let (directory, mut source) = fixture("xgb_binary", "xgboost.json", &[("predict_proba", "true")]);
    source.config.outputs = vec![ModelOutput { name: "output__0".into(), dims: vec![2], ..ModelOutput::default() }];
    let pairs: Vec<f32> = scores.iter().flat_map(|score| [1.0 - score[0], score[0]]).collect();
    assert_close(&load((directory, source)).infer(&rows), &pairs);
}

#[test]
fn a_classifier_that_is_said_to_be_none_gives_its_scores() {
    let (rows, scores) = expected("xgb_binary");
    let loaded = load(fixture("xgb_binary", "xgboost.json", &[("is_classifier", "false")]));
    assert_close(&loaded.infer(&rows), &scores.concat());
}

#[test]
fn several_targets_are_several_numbers() {
    let (rows, scores) = expected("xgb_vectors");
    assert_close(&load(fixture("xgb_vectors", "xgboost.json", &[])).infer(&rows), &scores.concat());
}

#[test]
fn requests_of_a_batch_get_their_own_rows() {
    let (rows, scores) = expected("xgb_regression");
    let loaded = load(fixture("xgb_regression", "xgboost.ubj", &[]));
    let answers = loaded.execute(vec![request(&rows[..1]), request(&rows[1..10]), request(&rows[10..12])]);
    let found: Vec<f32> = answers.iter().flat_map(|answer| numbers(answer.as_ref().unwrap(), "output__0")).collect();
    assert_close(&found, &scores[..12].concat());
}

#[test]
fn a_large_batch_is_shared_among_threads_and_says_the_same() {
    let (rows, scores) = expected("xgb_regression");
    let many: Vec<Vec<f32>> = rows.iter().cycle().take(rows.len() * 400).cloned().collect();
    for threads in ["1", "2", "-1"] {
        let loaded = load(fixture("xgb_regression", "xgboost.ubj", &[("cpu_nthread", threads)]));
        let found = loaded.infer(&many);
        found.chunks(rows.len()).for_each(|found| assert_close(found, &scores.concat()));
    }
}

#[test]
fn rows_without_a_batch_keep_their_dimensions() {
    let (rows, scores) = expected("xgb_regression");
    let (directory, mut source) = fixture("xgb_regression", "xgboost.ubj", &[]);
    source.config.inputs = vec![ModelInput { name: "input__0".into(), dims: vec![-1, 10], ..ModelInput::default() }];
    let loaded = load((directory, source));
    assert_eq!((loaded.config.max_batch_size, &*loaded.config.outputs[0].dims), (0, &[-1, 1][..]));
    assert_close(&loaded.infer(&rows), &scores.concat());
}

/// A model whose configuration lists SHAP values with these dims, and the framework's own.
fn explained(model: &str, file: &str, dims: &[i64]) -> (Loaded, Vec<f32>) {
    let (directory, mut source) = fixture(model, file, &[]);
    let output =
        |name: &str, dims: &[i64]| ModelOutput { name: name.into(), dims: dims.to_vec(), ..ModelOutput::default() };
    source.config.outputs = vec![output("output__0", &[]), output("treeshap_output", dims)];
    let text = fs::read(models().join(format!("{model}.expected.json"))).unwrap();
    let document: Value = serde_json::from_slice(&text).unwrap();
    let rows = document["shap"].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap());
    (load((directory, source)), rows.map(|value| value.as_f64().unwrap() as f32).collect())
}

#[test]
fn shap_values_come_as_a_second_output_to_those_who_want_them() {
    let (rows, _) = expected("lgb_binary");
    let (loaded, values) = explained("lgb_binary", "model.txt", &[]);
    assert_eq!(loaded.config.outputs[1].dims, [13]);
    let wanting = |names: &[&str], rows: &[Vec<f32>]| InferRequest {
        requested_outputs: names.iter().map(|name| (*name).into()).collect(),
        ..request(rows)
    };
    let answers = loaded.execute(vec![
        wanting(&["output__0"], &rows[..2]),
        wanting(&["treeshap_output"], &rows[2..5]),
        wanting(&[], &rows[5..]),
    ]);
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let names = |index: usize| answers[index].outputs.iter().map(|output| output.name.to_string()).collect::<Vec<_>>();
    assert_eq!((names(0), names(1)), (vec!["output__0".to_owned()], vec!["treeshap_output".to_owned()]));
    assert_eq!(names(2), ["output__0", "treeshap_output"]);
    assert_close(&numbers(&answers[1], "treeshap_output"), &values[2 * 13..5 * 13]);
    assert_close(&numbers(&answers[2], "treeshap_output"), &values[5 * 13..]);
}

#[test]
fn shap_values_of_several_scores_have_two_dimensions_or_one() {
    let (rows, _) = expected("lgb_classes");
    for (dims, shape) in [(&[][..], &[2, 3, 14][..]), (&[3, 14], &[2, 3, 14]), (&[42], &[2, 42])] {
        let (loaded, values) = explained("lgb_classes", "model.txt", dims);
        let response = loaded.execute(vec![request(&rows[..2])]).remove(0).unwrap();
        assert_eq!(&**response.output("treeshap_output").unwrap().shape(), shape);
        assert_close(&numbers(&response, "treeshap_output"), &values[..2 * 42]);
    }
}

#[test]
fn shap_values_that_a_file_cannot_give_are_refused_at_load() {
    let (_directory, mut source) = fixture("xgb_binary", "xgboost.json", &[]);
    let text = fs::read_to_string(models().join("xgb_binary.json")).unwrap();
    let start = text.find("\"sum_hessian\":[").unwrap() + "\"sum_hessian\":[".len();
    let end = start + text[start..].find(',').unwrap();
    let file = source.version_directory.join("xgboost.json");
    fs::write(file, format!("{}0{}", &text[..start], &text[end..])).unwrap();
    source.config.outputs = vec![
        ModelOutput { name: "output__0".into(), ..ModelOutput::default() },
        ModelOutput { name: "treeshap_output".into(), ..ModelOutput::default() },
    ];
    source.config = FilBackend::default().complete_config(&source).unwrap();
    let error = FilBackend::default().load(&source).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let text =
        "model 'm': output 'treeshap_output': tree 0 does not say how much of the training data passed its nodes";
    assert!(error.message().starts_with(text), "{error}");
}

#[test]
fn no_rows_have_no_scores() {
    let loaded = load(fixture("xgb_regression", "xgboost.ubj", &[]));
    let tensor = Tensor::new(DataType::Fp32, [0, 10].into(), vec![].into()).unwrap();
    let request = InferRequest::new(vec![NamedTensor::new("input__0", tensor)]);
    let response = loaded.execute(vec![request]).remove(0).unwrap();
    assert_eq!(&**response.output("output__0").unwrap().shape(), [0, 1]);
}

#[test]
fn a_model_says_how_much_memory_it_uses() {
    let usage = load(fixture("xgb_binary", "xgboost.json", &[])).model.memory_usage();
    assert!(matches!(usage[..], [MemoryUsage { kind: MemoryKind::Cpu, device_id: 0, bytes: 1000.. }]), "{usage:?}");
}

#[test]
fn an_isolation_forest_says_how_unusual_a_row_is_or_whether_it_is_an_outlier() {
    let (rows, scores) = expected("skl_isolation");
    assert_close(&load(fixture("skl_isolation", "forest.json", &[])).infer(&rows), &scores.concat());
    let parameters = [("output_class", "true"), ("threshold", "0.53")];
    let outliers = load(fixture("skl_isolation", "forest.json", &parameters)).infer(&rows);
    assert_eq!(outliers, scores.iter().map(|score| f32::from(u8::from(score[0] > 0.53))).collect::<Vec<f32>>());
    assert!(outliers.contains(&0.0) && outliers.contains(&1.0), "{outliers:?}");
}
