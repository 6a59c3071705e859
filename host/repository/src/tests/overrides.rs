//! Loads that bring a configuration or files of their own.

use std::{collections::BTreeMap, fs, path::PathBuf};

use bytes::Bytes;

use super::*;
use crate::model_id::ModelId;

fn sent(config: &str, files: &[(&str, &str)]) -> LoadOverrides {
    let content = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let files: BTreeMap<String, Bytes> = files.iter().map(|(path, text)| ((*path).to_owned(), content(text))).collect();
    LoadOverrides { config: (!config.is_empty()).then(|| config.to_owned()), files, ..LoadOverrides::default() }
}

fn repository(models: &Models) -> Arc<Repository> {
    models.file_at("model/1/model.fake", "1", 10);
    models.file_at("model/config.pbtxt", "max_batch_size: 1", 10);
    let repository = models.repository(ControlMode::Explicit, &["model"]);
    assert!(repository.start().unwrap().is_success());
    repository
}

fn batch(repository: &Repository) -> i32 {
    repository.model("model", None).unwrap().config().max_batch_size
}

/// Where the model's files are, by what the test left there.
fn directory_of(repository: &Repository, name: &str) -> PathBuf {
    repository.book.lock().standing(&ModelId::plain(name)).unwrap().source.directory.clone()
}

#[test]
fn a_configuration_that_was_sent_stays_until_the_file_is_touched() {
    let models = Models::new();
    let repository = repository(&models);
    repository.load("model", sent(r#"{"max_batch_size":8}"#, &[])).unwrap();
    assert_eq!(batch(&repository), 8);
    repository.load("model", LoadOverrides::default()).unwrap();
    assert_eq!(batch(&repository), 8);
    models.file_at("model/1/model.fake", "2", 11);
    repository.load("model", LoadOverrides::default()).unwrap();
    assert_eq!((batch(&repository), generation(&repository, "model")), (8, 2));

    models.file_at("model/config.pbtxt", "max_batch_size: 2", 11);
    repository.load("model", LoadOverrides::default()).unwrap();
    assert_eq!(batch(&repository), 2);
}

#[test]
fn a_configuration_that_was_sent_goes_with_the_model() {
    let models = Models::new();
    let repository = repository(&models);
    repository.load("model", sent(r#"{"name":"model","max_batch_size":8}"#, &[])).unwrap();
    repository.unload("model", false).unwrap();
    repository.load("model", LoadOverrides::default()).unwrap();
    assert_eq!(batch(&repository), 1);
}

#[test]
fn a_refused_load_changes_nothing_and_says_why() {
    let models = Models::new();
    let repository = repository(&models);
    for (overrides, why) in [
        (sent("", &[("1/model.fake", "2")]), "Load parameter 'config' must be specified for model file override"),
        (sent("{", &[]), "Invalid config override: "),
        (sent(&" ".repeat(5 << 20), &[]), "Invalid config override: it has 5242880 bytes, expected at most 4194304"),
        (sent(r#"{"max_batchsize":8}"#, &[]), "Invalid config override: field 'max_batchsize'"),
        (sent(r#"{"name":"other"}"#, &[]), "unexpected directory name 'model' for model 'other'"),
        (sent("{}", &[("../model.fake", "2")]), "Invalid file parameter 'file:../model.fake' must stay within"),
        (sent("{}", &[("model.fake", "2")]), "at least one version must be available"),
        (
            sent(r#"{"default_model_filename":"../../etc/passwd"}"#, &[]),
            "'default_model_filename' of model 'model' is '../../etc/passwd'",
        ),
    ] {
        let error = repository.load("model", overrides).unwrap_err();
        let expected = format!("failed to load 'model', failed to poll from model repository: {why}");
        assert!(error.message().starts_with(&expected), "{error}");
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert_eq!((batch(&repository), generation(&repository, "model")), (1, 1));
    }
    let error = repository.load("model", sent("{}", &[("1/model.fake", "error torn")])).unwrap_err();
    assert_eq!(error.message(), "load failed for model 'model': version 1 is at UNAVAILABLE state: Internal: torn;");
    repository.load("model", LoadOverrides::default()).unwrap();
    assert_eq!((batch(&repository), index(&repository)), (1, vec![LOADED.to_owned()]));
}

#[test]
fn files_that_were_sent_take_the_place_of_all_the_models_files_for_one_load() {
    let models = Models::new();
    let repository = repository(&models);
    models.file_at("model/7/model.fake", "7", 10);
    repository.load("model", sent(r#"{"max_batch_size":4}"#, &[("3/model.fake", "3")])).unwrap();
    let directory = directory_of(&repository, "model");
    assert_eq!((generation(&repository, "model"), batch(&repository)), (3, 4));
    assert_eq!(index(&repository), ["model:1 UNAVAILABLE unloaded", "model:3 READY"]);
    assert!(directory.is_dir() && !directory.starts_with(models.path()));

    let request_under_way = repository.model("model", None).unwrap();
    repository.load("model", LoadOverrides::default()).unwrap();
    assert_eq!((generation(&repository, "model"), batch(&repository)), (7, 1));
    assert!(directory.is_dir(), "somebody may still read it");
    drop(request_under_way);
    repository.index();
    assert!(!directory.exists());
}

#[test]
fn a_model_of_files_alone_leaves_no_trace() {
    let models = Models::new();
    let repository = repository(&models);
    for _ in 0..3 {
        repository.load("new", sent("{}", &[("1/model.fake", "5")])).unwrap();
        let directory = directory_of(&repository, "new");
        assert_eq!(generation(&repository, "new"), 5);
        let error = repository.load("new", LoadOverrides::default()).unwrap_err();
        assert_eq!(error.message(), "failed to load 'new', failed to poll from model repository");
        assert_eq!(generation(&repository, "new"), 5);
        repository.unload("new", false).unwrap();
        assert!(!directory.exists());
        assert_eq!(index(&repository), [LOADED]);
        assert_eq!(refusal(&repository, "new", None).1, "Request for unknown model: 'new' is not found");
    }
    assert!(repository.load("broken", sent("{}", &[("1/model.fake", "error no")])).is_err());
    assert!(repository.load("nowhere", LoadOverrides::default()).is_err());
    assert_eq!(index(&repository), [LOADED]);
    assert_eq!(repository.server_state(), ServerState::Ready);
}

#[test]
fn an_ensemble_of_files_alone_follows_its_members() {
    let models = Models::new();
    let repository = repository(&models);
    let config = r#"{"platform":"ensemble","ensemble_scheduling":{"step":[{"model_name":"model","model_version":-1,
                     "input_map":{"x":"X"},"output_map":{"y":"Y"}}]}}"#;
    repository.load("pipeline", sent(config, &[("1/keep", "")])).unwrap();
    let loaded = |repository: &Repository| Arc::as_ptr(&repository.model("pipeline", None).unwrap()).addr();
    let before = loaded(&repository);
    models.file_at("model/1/model.fake", "2", 11);
    repository.load("model", LoadOverrides::default()).unwrap();
    assert_ne!(loaded(&repository), before, "it was linked to the new generation");
    assert!(fs::read_dir(directory_of(&repository, "pipeline")).is_ok());
}
