//! The repository as a server sees it, over directories on disk and a loader that only pretends.

mod fake;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use nereid_inference::{ErrorKind, InferenceService, ModelControl, ModelState, ServerState};

use self::fake::{Models, ensemble};
use crate::{ControlMode, Repository, Severity, StartReport};

const LOADED: &str = "model:1 READY";

/// The report as lines of `name:version STATE reason`.
fn lines(report: &StartReport) -> Vec<String> {
    let rows = report.rows.iter();
    rows.map(|row| fake::line(&row.model, row.version, Some(row.state), &row.reason)).collect()
}

fn index(repository: &Repository) -> Vec<String> {
    repository.index().iter().map(|entry| fake::line(&entry.name, entry.version, entry.state, &entry.reason)).collect()
}

/// The message of a lookup that must fail.
fn refusal(repository: &Repository, name: &str, version: Option<u64>) -> (ErrorKind, String) {
    let Err(error) = repository.model(name, version) else { panic!("{name} is ready") };
    (error.kind(), error.message().to_owned())
}

/// Which build of the model answers.
fn generation(repository: &Repository, name: &str) -> u64 {
    repository.model(name, None).unwrap().statistics().execution_count
}

// === start ===

#[test]
fn everything_is_loaded_at_the_start_and_found_by_name_and_version() {
    let models = Models::new();
    models.file("model/config.pbtxt", "backend: 'fake' version_policy { latest { num_versions: 2 } }");
    for version in [1, 2, 3] {
        models.file(&format!("model/{version}/model.fake"), &version.to_string());
    }
    models.file("model/labels/ignored.txt", "");
    let repository = models.repository(ControlMode::None, &[]);
    assert_eq!(repository.server_state(), ServerState::Starting);
    let report = repository.start().unwrap();
    assert_eq!(lines(&report), ["model:2 READY", "model:3 READY"]);
    assert!(report.is_success());
    assert_eq!(repository.server_state(), ServerState::Ready);
    assert_eq!(
        (generation(&repository, "model"), repository.model("model", Some(2)).unwrap().identity().version),
        (3, 2)
    );
    assert_eq!(repository.ready_models(None).len(), 2);
    let not_found = |text: &str| (ErrorKind::NotFound, format!("Request for unknown model: {text}"));
    assert_eq!(refusal(&repository, "model", Some(1)), not_found("'model' version 1 is not found"));
    assert_eq!(refusal(&repository, "other", None), not_found("'other' is not found"));
    assert_eq!(refusal(&repository, "other", Some(1)), not_found("'other' is not found"));
}

#[test]
fn a_model_without_a_configuration_is_completed_by_its_backend() {
    let models = Models::new();
    models.file("model/1/model.fake", "1");
    let repository = models.repository(ControlMode::None, &[]);
    assert_eq!(lines(&repository.start().unwrap()), [LOADED]);
    let served = repository.model("model", None).unwrap();
    let config = served.config();
    assert_eq!((config.name.as_str(), config.backend.as_str()), ("model", "fake"));
    assert_eq!((config.instance_groups[0].name.as_str(), config.instance_groups[0].count), ("model", 1));
}

#[test]
fn without_auto_complete_a_configuration_is_needed_and_must_be_complete() {
    let models = Models::new();
    models.file("bare/1/model.fake", "1");
    models.file("half/1/model.fake", "1");
    models.file("half/config.pbtxt", "backend: 'fake' input { name: 'x' data_type: TYPE_FP32 }");
    let mut settings = models.settings(ControlMode::None, &[]);
    settings.auto_complete = false;
    let report = Repository::new(settings, models.loader()).start().unwrap();
    let expected = format!(
        "bare UNAVAILABLE model 'bare' has no {}/bare/config.pbtxt, and auto-complete is disabled; write one or remove \
         --disable-auto-complete-config",
        models.path().display()
    );
    assert_eq!(lines(&report), [expected.as_str(), "half UNAVAILABLE model input 'x' must specify 'dims'"]);
}

#[test]
fn each_model_fails_with_its_own_reason_and_the_others_go_on() {
    let models = Models::new();
    models.file("broken/1/model.fake", "error disk on fire");
    models.file("empty/readme.txt", "");
    models.file("model/1/model.fake", "1");
    models.file("nobody/1/model.unknown", "");
    models.file("panics/1/model.fake", "panic out of ideas");
    models.file("panics_early/1/model.fake", "panic early");
    models.file("renamed/config.pbtxt", "name: 'other'");
    models.file("sequence/1/model.fake", "1");
    models.file("sequence/config.pbtxt", "backend: 'fake' sequence_batching { }");
    models.file("unversioned/01/model.fake", "1");
    let repository = models.repository(ControlMode::None, &[]);
    let report = repository.start().unwrap();
    let at_least_one = |name: &str| {
        format!(
            "{name} UNAVAILABLE at least one version must be available under the version policy of model '{name}'; \
             expected directories such as '{}/{name}/1'",
            models.path().display()
        )
    };
    assert_eq!(
        lines(&report),
        [
            "broken:1 UNAVAILABLE Internal: disk on fire",
            &at_least_one("empty"),
            LOADED,
            "nobody UNAVAILABLE Invalid model name: Could not determine backend for model 'nobody' with no backend in \
             model configuration. Expected model name of the form 'model.<backend_name>'.",
            "panics:1 UNAVAILABLE Internal: the loader panicked while loading the model: out of ideas",
            "panics_early UNAVAILABLE failed to complete the configuration of model 'panics_early': the loader panicked \
             while completing the configuration: early",
            "renamed UNAVAILABLE unexpected directory name 'renamed' for model 'other', directory name must equal model \
             name",
            "sequence UNAVAILABLE model 'sequence' uses the configuration field 'sequence_batching', which is understood \
             but not served yet; remove it from config.pbtxt, or serve this model with a release that lists it as served",
            &at_least_one("unversioned"),
        ]
    );
    assert!(!report.is_success());
    assert_eq!(repository.server_state(), ServerState::NotReady);
    assert_eq!(refusal(&repository, "broken", None).1, "Request for unknown model: 'broken' has no available versions");
    let (kind, text) = refusal(&repository, "broken", Some(1));
    assert_eq!(kind, ErrorKind::Unavailable);
    assert_eq!(text, "Request for unknown model: 'broken' version 1 is not at ready state");
    assert_eq!(generation(&repository, "model"), 1);
}

#[test]
fn versions_of_one_model_become_ready_together_or_not_at_all() {
    let models = Models::new();
    models.file("model/config.pbtxt", "backend: 'fake' version_policy { all { } }");
    models.file("model/1/model.fake", "1");
    models.file("model/2/model.fake", "error no");
    let repository = models.repository(ControlMode::None, &[]);
    assert_eq!(
        lines(&repository.start().unwrap()),
        ["model:1 UNAVAILABLE another version of the model failed to load", "model:2 UNAVAILABLE Internal: no"]
    );
}

#[test]
fn a_name_in_two_repositories_is_ambiguous() {
    let (first, second) = (Models::new(), Models::new());
    for models in [&first, &second] {
        models.file("model/1/model.fake", "1");
    }
    second.file("other/1/model.fake", "1");
    let mut settings = first.settings(ControlMode::None, &[]);
    settings.paths.push(second.path().to_owned());
    let report = Repository::new(settings, first.loader()).start().unwrap();
    assert_eq!(lines(&report), ["model UNAVAILABLE model appears in two or more repositories", "other:1 READY"]);
}

#[test]
fn a_missing_repository_ends_the_start() {
    let models = Models::new();
    let mut settings = models.settings(ControlMode::None, &[]);
    settings.paths.push("/no/such/place".into());
    let error = Repository::new(settings, models.loader()).start().unwrap_err();
    assert!(error.message().starts_with("failed to open the model repository directory '/no/such/place'"));
}

#[test]
fn without_strict_readiness_a_failed_model_does_not_hold_the_server_back() {
    let models = Models::new();
    models.file("broken/1/model.fake", "error no");
    let mut settings = models.settings(ControlMode::None, &[]);
    settings.strict_readiness = false;
    let repository = Repository::new(settings, models.loader());
    repository.start().unwrap();
    assert_eq!(repository.server_state(), ServerState::Ready);
    repository.begin_exit();
    assert_eq!(repository.server_state(), ServerState::Exiting);
}

#[test]
fn independent_models_are_loaded_at_the_same_time() {
    let models = Models::new();
    models.file("a/1/model.fake", "meet");
    models.file("b/1/model.fake", "meet");
    assert_eq!(lines(&models.repository(ControlMode::None, &[]).start().unwrap()), ["a:1 READY", "b:1 READY"]);
}

// === ensembles ===

#[test]
fn ensembles_are_loaded_after_their_members() {
    let models = Models::new();
    models.file("a_top/1/keep", "");
    models.file("a_top/config.pbtxt", &ensemble(&["b_inner", "z"]));
    models.file("b_inner/1/keep", "");
    models.file("b_inner/config.pbtxt", &ensemble(&["z"]));
    models.file("z/1/model.fake", "1");
    let loader = models.loader();
    let repository = Repository::new(models.settings(ControlMode::None, &[]), loader.clone());
    assert!(repository.start().unwrap().is_success());
    assert_eq!(*loader.loaded.lock(), ["z:1", "b_inner:1", "a_top:1"]);
}

#[test]
fn ensembles_without_their_members_say_which_and_why() {
    let models = Models::new();
    for (name, members) in
        [("failed", "broken"), ("missing", "nowhere"), ("round", "and_round"), ("and_round", "round")]
    {
        models.file(&format!("{name}/1/keep"), "");
        models.file(&format!("{name}/config.pbtxt"), &ensemble(&[members]));
    }
    models.file("old/1/keep", "");
    models.file("old/config.pbtxt", &ensemble(&["model"]).replace("'model'", "'model' model_version: 7"));
    models.file("broken/1/model.fake", "error no");
    models.file("model/1/model.fake", "1");
    let cycle = "UNAVAILABLE circular dependency between ensembles: and_round -> round -> and_round";
    assert_eq!(
        lines(&models.repository(ControlMode::None, &[]).start().unwrap()),
        [
            &format!("and_round {cycle}"),
            "broken:1 UNAVAILABLE Internal: no",
            "failed:1 UNAVAILABLE Invalid argument: ensemble 'failed' depends on 'broken' which has no loaded version. \
             Model 'broken' loading failed with error: Internal: no",
            "missing:1 UNAVAILABLE Invalid argument: ensemble missing contains models that are not available or \
             ambiguous: nowhere",
            LOADED,
            "old:1 UNAVAILABLE Invalid argument: ensemble 'old' depends on 'model' whose required version 7 is not \
             loaded; ready versions are [1]",
            &format!("round {cycle}"),
        ]
    );
}

// === explicit control ===

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
    repository.load("model").unwrap();
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
    repository.load("model").unwrap();
    assert_eq!(index(&repository), [LOADED]);
}

#[test]
fn control_is_refused_where_it_has_no_meaning() {
    let models = Models::new();
    models.file("model/1/model.fake", "1");
    let repository = models.repository(ControlMode::None, &[]);
    repository.start().unwrap();
    let text = "explicit model load / unload is not allowed if polling is enabled";
    for error in [repository.load("model").unwrap_err(), repository.unload("model", false).unwrap_err()] {
        assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, text));
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
        let error = explicit.load(name).unwrap_err();
        assert_eq!((error.kind(), error.message()), (kind, text));
    }
    explicit.begin_exit();
    assert_eq!(explicit.load("model").unwrap_err().message(), "Server exiting");
}

#[test]
fn a_reload_takes_over_and_a_failed_one_changes_nothing() {
    let models = Models::new();
    models.file("model/1/model.fake", "1");
    let repository = models.repository(ControlMode::Explicit, &["model"]);
    repository.start().unwrap();
    models.file("model/1/model.fake", "2");
    repository.load("model").unwrap();
    assert_eq!(generation(&repository, "model"), 2);

    models.file("model/1/model.fake", "error torn");
    let error = repository.load("model").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(error.message(), "load failed for model 'model': version 1 is at UNAVAILABLE state: Internal: torn;");
    assert_eq!(generation(&repository, "model"), 2);

    models.file("model/config.pbtxt", "max_batchsize: 3");
    let error = repository.load("model").unwrap_err();
    let expected = format!(
        "failed to load 'model', failed to poll from model repository: {}/model/config.pbtxt:1:1: unknown field \
         'max_batchsize' in ModelConfig\n  1 | max_batchsize: 3\n    | ^^^^^^^^^^^^^\n    = did you mean 'max_batch_size'?",
        models.path().display()
    );
    assert_eq!(error.message(), expected);
    assert_eq!((generation(&repository, "model"), index(&repository)), (2, vec![LOADED.to_owned()]));
    assert_eq!(repository.server_state(), ServerState::Ready);
}

#[test]
fn a_reload_drops_the_versions_that_the_policy_no_longer_wants() {
    let models = Models::new();
    models.file("model/1/model.fake", "1");
    let repository = models.repository(ControlMode::Explicit, &["model"]);
    repository.start().unwrap();
    models.file("model/2/model.fake", "2");
    repository.load("model").unwrap();
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
            let _ = repository.load("model");
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
    repository.load("model").unwrap();
    assert_eq!(index(&repository), [LOADED, "pipeline:1 READY"]);
}

// === check ===

#[test]
fn a_check_finds_every_mistake_and_loads_nothing() {
    let models = Models::new();
    models.file("good/1/model.fake", "error only when loaded");
    models.file("good/v2/keep", "");
    models.file("pipeline/1/keep", "");
    models.file("pipeline/config.pbtxt", &ensemble(&["good", "typo"]));
    models.file("odd/1/model.fake", "invalid in the loader's eyes");
    models.file("typo/config.pbtxt", "name: 'typo'\nmax_batchsize: 8");
    let loader = models.loader();
    let settings = models.settings(ControlMode::None, &[]);
    let findings = crate::check(&settings, &*loader).unwrap();
    let found: Vec<(&str, Severity, String, &str)> = findings
        .iter()
        .map(|f| {
            let file = f.file.strip_prefix(models.path()).unwrap().display().to_string();
            (f.model.as_str(), f.severity, file, f.text.lines().last().unwrap())
        })
        .collect();
    assert_eq!(
        found,
        [
            (
                "good",
                Severity::Warning,
                "good".to_owned(),
                "ignoring version directory 'v2': its name is not an integer"
            ),
            ("odd", Severity::Error, "odd".to_owned(), "in the loader's eyes"),
            ("pipeline", Severity::Error, "pipeline/config.pbtxt".to_owned(), "    = did you mean 'max_batch_size'?"),
            ("typo", Severity::Error, "typo/config.pbtxt".to_owned(), "    = did you mean 'max_batch_size'?"),
        ]
    );
    assert!(loader.loaded.lock().is_empty());
}

#[test]
fn states_are_shown_in_the_words_of_the_index() {
    assert_eq!(fake::line("m", Some(2), Some(ModelState::Loading), ""), "m:2 LOADING");
    let _: Arc<dyn InferenceService> = Models::new().repository(ControlMode::None, &[]);
}
