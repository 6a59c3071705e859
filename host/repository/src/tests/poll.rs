//! Following the directories while the server runs. Times are written, so that no test depends on a clock.

use std::{fs::remove_dir_all, path::Path};

use super::*;

fn write(models: &Models, name: &str, text: &str, seconds: u64) {
    models.file_at(name, text, seconds);
}

fn remove(path: &Path) {
    remove_dir_all(path).unwrap();
}

/// A repository with `model`, generation 1.
fn polled(models: &Models) -> Arc<Repository> {
    write(models, "model/1/model.fake", "1", 10);
    let repository = models.repository(ControlMode::Poll, &[]);
    assert!(repository.start().unwrap().is_success());
    repository
}

#[test]
fn what_did_not_change_is_not_loaded_again() {
    let models = Models::new();
    write(&models, "model/1/model.fake", "1", 10);
    let loader = models.loader();
    let repository = Repository::new(models.settings(ControlMode::Poll, &[]), loader.clone());
    repository.start().unwrap();
    repository.poll().unwrap();
    models.file("model/.config.pbtxt.swp", "an editor's");
    repository.poll().unwrap();
    assert_eq!(*loader.loaded.lock(), ["model:1"]);
}

#[test]
fn models_are_added_and_removed_with_their_directories() {
    let models = Models::new();
    let repository = polled(&models);
    write(&models, "second/1/model.fake", "1", 10);
    repository.poll().unwrap();
    assert_eq!(index(&repository), [LOADED, "second:1 READY"]);

    let request_under_way = repository.model("model", None).unwrap();
    remove(&models.path().join("model"));
    repository.poll().unwrap();
    assert_eq!(index(&repository), ["model:1 UNLOADING", "second:1 READY"]);
    drop(request_under_way);
    assert_eq!(repository.server_state(), ServerState::Ready);
    assert_eq!(index(&repository), ["model:1 UNAVAILABLE unloaded", "second:1 READY"]);

    write(&models, "model/1/model.fake", "7", 10);
    repository.poll().unwrap();
    assert_eq!(generation(&repository, "model"), 7);
}

#[test]
fn files_configurations_and_versions_that_change_are_taken_over() {
    let models = Models::new();
    let repository = polled(&models);
    write(&models, "model/1/model.fake", "2", 11);
    repository.poll().unwrap();
    assert_eq!(generation(&repository, "model"), 2);
    write(&models, "model/2/model.fake", "3", 10);
    repository.poll().unwrap();
    assert_eq!(index(&repository), ["model:1 UNAVAILABLE unloaded", "model:2 READY"]);
    write(&models, "model/config.pbtxt", "version_policy { all {} }", 10);
    repository.poll().unwrap();
    assert_eq!(index(&repository), [LOADED, "model:2 READY"]);
    remove(&models.path().join("model/1"));
    repository.poll().unwrap();
    assert_eq!(index(&repository), ["model:1 UNAVAILABLE unloaded", "model:2 READY"]);
}

#[test]
fn a_reload_that_fails_keeps_the_old_generation_until_the_files_are_right() {
    let models = Models::new();
    let repository = polled(&models);
    write(&models, "model/1/model.fake", "error torn", 11);
    repository.poll().unwrap();
    write(&models, "model/config.pbtxt", "max_batchsize: 3", 11);
    repository.poll().unwrap();
    let seen = index(&repository).remove(0);
    assert!(seen.starts_with("model:1 READY the last update failed, what was served before still is: "), "{seen}");
    assert_eq!(generation(&repository, "model"), 1);
    assert_eq!(repository.server_state(), ServerState::Ready);
    write(&models, "model/config.pbtxt", "", 12);
    write(&models, "model/1/model.fake", "4", 12);
    repository.poll().unwrap();
    assert_eq!(generation(&repository, "model"), 4);
}

#[test]
fn ensembles_follow_their_members() {
    let models = Models::new();
    let repository = polled(&models);
    write(&models, "pipeline/1/keep", "", 10);
    write(&models, "pipeline/config.pbtxt", &ensemble(&["late"]), 10);
    repository.poll().unwrap();
    let missing = "pipeline:1 UNAVAILABLE Invalid argument: ensemble pipeline contains models that are not available or \
                   ambiguous: late";
    assert_eq!(index(&repository), [LOADED, missing]);

    write(&models, "late/1/model.fake", "1", 10);
    repository.poll().unwrap();
    assert_eq!(index(&repository), ["late:1 READY", LOADED, "pipeline:1 READY"]);
    let before = repository.model("pipeline", None).unwrap();
    write(&models, "late/1/model.fake", "2", 11);
    repository.poll().unwrap();
    assert!(!Arc::ptr_eq(&before, &repository.model("pipeline", None).unwrap()), "linked to the new generation");

    remove(&models.path().join("late"));
    repository.poll().unwrap();
    let lost = "pipeline:1 UNAVAILABLE ensemble 'pipeline' depends on 'late' which has no loaded version";
    assert_eq!(index(&repository), ["late:1 UNAVAILABLE unloaded", LOADED, lost]);
}

#[test]
fn an_ensemble_may_move_to_another_member_while_the_old_one_goes() {
    let models = Models::new();
    write(&models, "pipeline/1/keep", "", 10);
    write(&models, "pipeline/config.pbtxt", &ensemble(&["model"]), 10);
    let repository = polled(&models);
    write(&models, "next/1/model.fake", "1", 10);
    write(&models, "pipeline/config.pbtxt", &ensemble(&["next"]), 11);
    remove(&models.path().join("model"));
    repository.poll().unwrap();
    assert_eq!(index(&repository), ["model:1 UNAVAILABLE unloaded", "next:1 READY", "pipeline:1 READY"]);
}

#[test]
fn a_cycle_of_ensembles_ends_where_one_of_them_is_edited() {
    let models = Models::new();
    let repository = polled(&models);
    for (name, member) in [("round", "and_round"), ("and_round", "round")] {
        write(&models, &format!("{name}/1/keep"), "", 10);
        write(&models, &format!("{name}/config.pbtxt"), &ensemble(&[member]), 10);
    }
    repository.poll().unwrap();
    assert_eq!(repository.server_state(), ServerState::NotReady);
    write(&models, "round/config.pbtxt", &ensemble(&["model"]), 11);
    repository.poll().unwrap();
    assert_eq!(index(&repository), ["and_round:1 READY", LOADED, "round:1 READY"]);
}

#[test]
fn a_repository_that_cannot_be_read_unloads_nothing() {
    let (models, other) = (Models::new(), Models::new());
    write(&other, "other/1/model.fake", "1", 10);
    write(&models, "model/1/model.fake", "1", 10);
    let mut settings = models.settings(ControlMode::Poll, &[]);
    settings.paths.push(other.path().to_owned());
    let repository = Repository::new(settings, models.loader());
    assert!(repository.start().unwrap().is_success());
    remove(other.path());
    let error = repository.poll().unwrap_err();
    assert!(error.message().starts_with("failed to open the model repository directory '"), "{error}");
    assert!(repository.model("other", None).is_ok());
}

#[test]
fn a_name_in_two_repositories_is_served_again_when_one_of_them_goes() {
    let (models, other) = (Models::new(), Models::new());
    write(&models, "model/1/model.fake", "1", 10);
    write(&other, "model/1/model.fake", "2", 10);
    let mut settings = models.settings(ControlMode::Poll, &[]);
    settings.paths.push(other.path().to_owned());
    let repository = Repository::new(settings, models.loader());
    assert!(!repository.start().unwrap().is_success());
    remove(&models.path().join("model"));
    repository.poll().unwrap();
    assert_eq!(generation(&repository, "model"), 2);
}

#[test]
fn nothing_is_loaded_once_the_server_ends() {
    let models = Models::new();
    let repository = polled(&models);
    repository.begin_exit();
    write(&models, "model/1/model.fake", "2", 11);
    repository.poll().unwrap();
    assert_eq!(generation(&repository, "model"), 1);
}
