//! A load of what is served already loads what has changed, and nothing else.

use super::*;

const ALL: &str = "version_policy { all { } }";

/// `model` with the versions 1 and 2, and what was loaded at the start forgotten.
fn served(models: &Models) -> (Arc<Repository>, Arc<fake::FakeLoader>) {
    models.file_at("model/config.pbtxt", ALL, 10);
    models.file_at("model/labels.txt", "a", 10);
    models.file_at("model/1/model.fake", "1", 10);
    models.file_at("model/2/model.fake", "2", 10);
    let loader = models.loader();
    let repository = Repository::new(models.settings(ControlMode::Explicit, &["model"]), loader.clone());
    assert!(repository.start().unwrap().is_success());
    loader.take_loaded();
    (repository, loader)
}

/// Which versions are loaded again after `path` was written.
#[track_caller]
fn check(path: &str, text: &str, expected: &[&str]) {
    let models = Models::new();
    let (repository, loader) = served(&models);
    models.file_at(path, text, 11);
    repository.load("model", LoadOverrides::default()).unwrap();
    assert_eq!(loader.take_loaded(), expected, "{path}");
}

#[test]
fn only_what_changed_is_loaded() {
    check("another/1/model.fake", "9", &[]);
    check("model/2/model.fake", "9", &["model:2"]);
    check("model/3/model.fake", "3", &["model:3"]);
    check("model/labels.txt", "b", &["model:1", "model:2"]);
    check("model/config.pbtxt", &format!("max_batch_size: 2 {ALL}"), &["model:1", "model:2"]);
    // Touched, and it says the same.
    check("model/config.pbtxt", &format!("{ALL} # really"), &[]);
    check("model/config.pbtxt", "version_policy { specific { versions: [ 1 ] } }", &[]);
    check("model/config.pbtxt", &format!("{ALL} instance_group {{ count: 3 }}"), &[]);
}

fn instances(repository: &Repository, version: u64) -> i32 {
    repository.model("model", Some(version)).unwrap().config().instance_groups[0].count
}

#[test]
fn instances_are_changed_in_place_beside_a_version_that_is_loaded() {
    let models = Models::new();
    let (repository, loader) = served(&models);
    let request_under_way = repository.model("model", Some(1)).unwrap();
    models.file_at("model/config.pbtxt", &format!("{ALL} instance_group {{ count: 3 }}"), 11);
    models.file_at("model/2/model.fake", "20", 11);
    repository.load("model", LoadOverrides::default()).unwrap();
    assert_eq!(loader.take_loaded(), ["model:2"]);
    assert_eq!((instances(&repository, 1), instances(&repository, 2)), (3, 3));
    assert_eq!(request_under_way.config().instance_groups[0].count, 1);
    assert_eq!(generation(&repository, "model"), 20);
}

#[test]
fn instances_that_cannot_be_made_leave_everything_as_it_is() {
    let models = Models::new();
    let (repository, _) = served(&models);
    let many = LoadOverrides {
        config: Some(r#"{"version_policy":{"all":{}},"instance_group":[{"count":101}]}"#.to_owned()),
        ..LoadOverrides::default()
    };
    let error = repository.load("model", many).unwrap_err();
    assert!(
        error.message().contains("version 1 is at UNAVAILABLE state: Unavailable: no room for that many;"),
        "{error}"
    );
    assert_eq!(instances(&repository, 1), 1);
    let failed = "READY the last update failed, what was served before still is: Unavailable: no room for that many";
    assert_eq!(index(&repository), [format!("model:1 {failed}"), format!("model:2 {failed}")]);
}

#[test]
fn ensembles_are_linked_anew_when_a_member_is_a_new_generation_and_not_otherwise() {
    let models = Models::new();
    models.file_at("pipeline/config.pbtxt", &ensemble(&["model"]), 10);
    models.file_at("pipeline/1/keep", "", 10);
    models.file_at("model/1/model.fake", "1", 10);
    let loader = models.loader();
    let repository = Repository::new(models.settings(ControlMode::Explicit, &["pipeline"]), loader.clone());
    assert!(repository.start().unwrap().is_success());
    loader.take_loaded();
    for name in ["pipeline", "model"] {
        repository.load(name, LoadOverrides::default()).unwrap();
        assert!(loader.take_loaded().is_empty());
    }
    for (generation, name) in [("2", "model"), ("3", "pipeline")] {
        models.file_at("model/1/model.fake", generation, 10 + generation.parse::<u64>().unwrap());
        repository.load(name, LoadOverrides::default()).unwrap();
        assert_eq!(loader.take_loaded(), ["model:1", "pipeline:1"]);
    }
}

#[test]
fn a_version_that_fails_is_tried_again_as_often_as_the_operator_wants() {
    let models = Models::new();
    models.file("model/1/model.fake", "flaky");
    for (load_retry_count, loads) in [(1, false), (2, true)] {
        let settings = crate::RepositorySettings { load_retry_count, ..models.settings(ControlMode::None, &[]) };
        let report = Repository::new(settings, models.loader()).start().unwrap();
        assert_eq!(report.is_success(), loads, "{:?}", lines(&report));
    }
}

#[test]
fn a_model_has_the_configuration_that_the_operator_chose_where_there_is_one() {
    let models = Models::new();
    models.file_at("model/config.pbtxt", "max_batch_size: 1", 10);
    models.file_at("model/configs/mine.pbtxt", "max_batch_size: 2", 10);
    models.file_at("model/1/model.fake", "1", 10);
    models.file_at("other/config.pbtxt", "max_batch_size: 1", 10);
    models.file_at("other/1/model.fake", "1", 10);
    let settings =
        crate::RepositorySettings { config_name: Some("mine".to_owned()), ..models.settings(ControlMode::Poll, &[]) };
    let repository = Repository::new(settings, models.loader());
    assert!(repository.start().unwrap().is_success());
    let batch = |name: &str| repository.model(name, None).unwrap().config().max_batch_size;
    assert_eq!((batch("model"), batch("other")), (2, 1));
    models.file_at("other/configs/mine.pbtxt", "max_batch_size: 3", 11);
    std::fs::remove_file(models.path().join("model/configs/mine.pbtxt")).unwrap();
    repository.poll().unwrap();
    assert_eq!((batch("model"), batch("other")), (1, 3));
}
