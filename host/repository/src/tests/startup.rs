//! The first load: what is found, completed, refused, and in which order.

use super::*;
use crate::RepositorySettings;

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
fn a_model_whose_backend_is_sick_is_loaded_and_not_ready() {
    let models = Models::new();
    models.file("model/1/model.fake", "sick");
    let ready = |strict_readiness| {
        let settings = RepositorySettings { strict_readiness, ..models.settings(ControlMode::None, &[]) };
        let repository = Repository::new(settings, models.loader());
        assert_eq!(lines(&repository.start().unwrap()), [LOADED]);
        repository.model("model", None).unwrap();
        let model = repository.ready_model("model", None).err().map(|error| error.message().to_owned());
        (model, repository.server_state())
    };
    let sick = Some("its library is gone".to_owned());
    assert_eq!(ready(true), (sick.clone(), ServerState::NotReady));
    assert_eq!(ready(false), (sick, ServerState::Ready));
    models.file("model/1/model.fake", "1");
    assert_eq!(ready(true), (None, ServerState::Ready));
}

#[test]
fn a_model_that_is_let_rest_says_so_and_does_not_hold_the_server_back() {
    let models = Models::new();
    models.file("model/1/model.fake", "resting");
    let repository = Repository::new(models.settings(ControlMode::None, &[]), models.loader());
    repository.start().unwrap();
    let error = repository.ready_model("model", None).err().unwrap();
    assert_eq!(error.message(), "it is let rest for a while");
    let entry = repository.index().remove(0);
    assert_eq!((entry.state, &*entry.reason), (Some(ModelState::Ready), "not ready now: it is let rest for a while"));
    assert_eq!(repository.server_state(), ServerState::Ready);
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
    assert_eq!(lines(&report), [expected.as_str(), "half UNAVAILABLE model input 'x' must specify 'dims' for half"]);
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
    models.file("sequence/config.pbtxt", "backend: 'fake' sequence_batching { iterative_sequence: true }");
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
            "sequence UNAVAILABLE model 'sequence' uses the configuration field 'sequence_batching.iterative_sequence' \
             (backend 'fake'), which is understood but not served yet; remove it from config.pbtxt, or serve this model \
             with a release that lists it as served",
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
