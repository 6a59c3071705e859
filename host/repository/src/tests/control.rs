//! Loading, reloading and unloading while the server runs.

use super::*;

#[test]
fn explicit_control_loads_what_is_named_and_lists_the_rest() {
    let models = Models::new();
    for name in ["a", "b", "c"] {
        models.file(&format!("{name}/1/model.fake"), "1");
    }
    let repository = models.repository(ControlMode::Explicit, &["b", "gone"]);
    assert_eq!(
        lines(&repository.start().unwrap()),
        ["b:1 READY", "gone UNAVAILABLE failed to load 'gone', failed to poll from model repository"]
    );
    assert_eq!(
        index(&repository),
        ["a", "b:1 READY", "c", "gone UNAVAILABLE failed to load 'gone', failed to poll from model repository"]
    );
    let all = models.repository(ControlMode::Explicit, &["*"]);
    assert_eq!(all.start().unwrap().rows.len(), 3);
    let error = models.repository(ControlMode::Explicit, &["*", "a"]).start().unwrap_err();
    assert_eq!(error.message(), "Wildcard model name '*' must be the ONLY startup model if specified at all.");
}

#[test]
fn a_model_is_loaded_drained_and_unloaded_on_request() {
    let models = Models::new();
    models.file("model/1/model.fake", "1");
    let repository = models.repository(ControlMode::Explicit, &[]);
    assert!(repository.start().unwrap().rows.is_empty());
    repository.load("model", LoadOverrides::default()).unwrap();
    assert_eq!(index(&repository), [LOADED]);

    let request_under_way = repository.model("model", None).unwrap();
    repository.unload("model", false).unwrap();
    assert_eq!(index(&repository), ["model:1 UNLOADING"]);
    assert_eq!(repository.server_state(), ServerState::NotReady);
    assert_eq!(refusal(&repository, "model", Some(1)).0, ErrorKind::Unavailable);
    drop(request_under_way);
    assert_eq!(repository.server_state(), ServerState::Ready);
    assert_eq!(index(&repository), ["model:1 UNAVAILABLE unloaded"]);

    repository.unload("never heard of", true).unwrap();
    repository.load("model", LoadOverrides::default()).unwrap();
    assert_eq!(index(&repository), [LOADED]);
}

#[test]
fn control_is_refused_where_it_has_no_meaning() {
    let models = Models::new();
    models.file("model/1/model.fake", "1");
    let text = "explicit model load / unload is not allowed if polling is enabled";
    for control_mode in [ControlMode::None, ControlMode::Poll] {
        let repository = models.repository(control_mode, &[]);
        repository.start().unwrap();
        for error in [
            repository.load("model", LoadOverrides::default()).unwrap_err(),
            repository.unload("model", false).unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, text));
        }
    }
    let explicit = models.repository(ControlMode::Explicit, &[]);
    explicit.start().unwrap();
    for (name, kind, text) in [
        ("", ErrorKind::InvalidArgument, "Model name cannot be empty. Please enter a valid name to deploy."),
        (
            "../model",
            ErrorKind::InvalidArgument,
            "invalid model name '../model', model name must not contain path traversal characters",
        ),
        (
            " ..",
            ErrorKind::InvalidArgument,
            "invalid model name ' ..', model name must not contain path traversal characters",
        ),
        ("gone", ErrorKind::Internal, "failed to load 'gone', failed to poll from model repository"),
    ] {
        let error = explicit.load(name, LoadOverrides::default()).unwrap_err();
        assert_eq!((error.kind(), error.message()), (kind, text));
    }
    explicit.begin_exit();
    assert_eq!(explicit.load("model", LoadOverrides::default()).unwrap_err().message(), "Server exiting");
}

#[test]
fn a_reload_takes_over_and_a_failed_one_changes_nothing() {
    let models = Models::new();
    models.file("model/1/model.fake", "1");
    let repository = models.repository(ControlMode::Explicit, &["model"]);
    repository.start().unwrap();
    models.file("model/1/model.fake", "2");
    repository.load("model", LoadOverrides::default()).unwrap();
    assert_eq!(generation(&repository, "model"), 2);

    models.file("model/1/model.fake", "error torn");
    let error = repository.load("model", LoadOverrides::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(error.message(), "load failed for model 'model': version 1 is at UNAVAILABLE state: Internal: torn;");
    assert_eq!(generation(&repository, "model"), 2);

    models.file("model/config.pbtxt", "max_batchsize: 3");
    let error = repository.load("model", LoadOverrides::default()).unwrap_err();
    let expected = format!(
        "failed to load 'model', failed to poll from model repository: {}/model/config.pbtxt:1:1: unknown field \
         'max_batchsize' in ModelConfig\n  1 | max_batchsize: 3\n    | ^^^^^^^^^^^^^\n    = did you mean 'max_batch_size'?",
        models.path().display()
    );
    assert_eq!(error.message(), expected);
    assert!(
        index(&repository)[0].starts_with("model:1 READY the last update failed, what was served before still is: /")
    );
    assert_eq!(generation(&repository, "model"), 2);
    assert_eq!(repository.server_state(), ServerState::Ready);
}

#[test]
fn a_reload_drops_the_versions_that_the_policy_no_longer_wants() {
    let models = Models::new();
    models.file("model/1/model.fake", "1");
    let repository = models.repository(ControlMode::Explicit, &["model"]);
    repository.start().unwrap();
    models.file("model/2/model.fake", "2");
    repository.load("model", LoadOverrides::default()).unwrap();
    assert_eq!(index(&repository), ["model:1 UNAVAILABLE unloaded", "model:2 READY"]);
    assert_eq!(repository.server_state(), ServerState::Ready);
}

#[test]
fn no_request_misses_the_model_while_it_is_reloaded() {
    let models = Models::new();
    models.file("model/1/model.fake", "1");
    let repository = models.repository(ControlMode::Explicit, &["model"]);
    repository.start().unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let asker = scope.spawn(|| {
            let mut asked = 0_u64;
            while !done.load(Ordering::Acquire) || asked == 0 {
                assert!(repository.model("model", Some(1)).is_ok());
                asked += 1;
            }
        });
        for round in 0..50 {
            models.file("model/1/model.fake", if round % 2 == 0 { "7" } else { "error no" });
            let _ = repository.load("model", LoadOverrides::default());
        }
        done.store(true, Ordering::Release);
        asker.join().unwrap();
    });
}

#[test]
fn loading_an_ensemble_loads_its_members_and_unloading_it_may_take_them_along() {
    let models = Models::new();
    for (name, member) in [("first", "shared"), ("second", "shared")] {
        models.file(&format!("{name}/1/keep"), "");
        models
            .file(&format!("{name}/config.pbtxt"), &ensemble(&[member, "own"]).replace("own", &format!("{name}_own")));
        models.file(&format!("{name}_own/1/model.fake"), "1");
    }
    models.file("shared/1/model.fake", "1");
    let repository = models.repository(ControlMode::Explicit, &["first", "second", "second_own"]);
    assert!(repository.start().unwrap().is_success());

    repository.unload("first", true).unwrap();
    repository.unload("second", true).unwrap();
    assert_eq!(
        index(&repository),
        [
            "first:1 UNAVAILABLE unloaded",
            "first_own:1 UNAVAILABLE unloaded",
            "second:1 UNAVAILABLE unloaded",
            "second_own:1 READY",
            "shared:1 UNAVAILABLE unloaded",
        ]
    );
}

#[test]
fn an_ensemble_goes_with_its_member_and_comes_back_with_it() {
    let models = Models::new();
    models.file("pipeline/1/keep", "");
    models.file("pipeline/config.pbtxt", &ensemble(&["model"]));
    models.file("model/1/model.fake", "1");
    let repository = models.repository(ControlMode::Explicit, &["pipeline"]);
    assert!(repository.start().unwrap().is_success());
    repository.unload("model", false).unwrap();
    assert_eq!(
        index(&repository),
        [
            "model:1 UNAVAILABLE unloaded",
            "pipeline:1 UNAVAILABLE ensemble 'pipeline' depends on 'model' which has no loaded version"
        ]
    );
    assert_eq!(repository.server_state(), ServerState::NotReady);
    repository.load("model", LoadOverrides::default()).unwrap();
    assert_eq!(index(&repository), [LOADED, "pipeline:1 READY"]);
}

#[test]
fn a_name_in_two_repositories_is_shown_as_such_and_cannot_be_loaded() {
    let (models, other) = (Models::new(), Models::new());
    models.file("model/1/model.fake", "1");
    other.file("model/1/model.fake", "2");
    let mut settings = models.settings(ControlMode::Explicit, &[]);
    settings.paths.push(other.path().to_owned());
    let repository = Repository::new(settings, models.loader());
    repository.start().unwrap();
    let ambiguous = "model UNAVAILABLE model appears in two or more repositories";
    assert_eq!(index(&repository), [ambiguous]);
    let error = repository.load("model", LoadOverrides::default()).unwrap_err();
    assert_eq!(
        error.message(),
        "failed to load 'model', failed to poll from model repository: model appears in two or more repositories"
    );
    assert_eq!(index(&repository), [ambiguous]);
    std::fs::remove_dir_all(other.path().join("model")).unwrap();
    repository.load("model", LoadOverrides::default()).unwrap();
    assert_eq!(index(&repository), [LOADED]);
}

#[test]
fn loads_and_unloads_of_related_models_at_the_same_time_leave_each_other_whole() {
    let models = Models::new();
    for name in ["outer", "inner"] {
        models.file(&format!("{name}/1/keep"), "");
    }
    models.file("outer/config.pbtxt", &ensemble(&["inner", "b"]));
    models.file("inner/config.pbtxt", &ensemble(&["a", "b"]));
    for name in ["a", "b"] {
        models.file(&format!("{name}/1/model.fake"), "1");
    }
    let repository = models.repository(ControlMode::Explicit, &["*"]);
    assert!(repository.start().unwrap().is_success());
    thread::scope(|scope| {
        for (worker, name) in ["outer", "inner", "a", "b"].into_iter().enumerate() {
            let (repository, models) = (&repository, &models);
            scope.spawn(move || {
                for round in 0..40 {
                    match (round + worker) % 4 {
                        0 => repository.unload(name, worker % 2 == 0).unwrap(),
                        1 if worker > 1 => models.file(&format!("{name}/1/model.fake"), &round.to_string()),
                        _ => drop(repository.load(name, LoadOverrides::default())),
                    }
                }
            });
        }
    });
    repository.load("outer", LoadOverrides::default()).unwrap();
    let ready = ["a:1 READY", "b:1 READY", "inner:1 READY", "outer:1 READY"];
    assert_eq!(index(&repository), ready);
}
