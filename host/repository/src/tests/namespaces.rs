//! Models of one name in several repositories, each of them a model of its own.

use nereid_inference::InferError;

use super::*;
use crate::RepositorySettings;

/// Two repositories of which both have `same`.
struct Two {
    a: Models,
    b: Models,
}

impl Two {
    fn new() -> Self {
        let two = Self { a: Models::new(), b: Models::new() };
        two.a.file("same/1/model.fake", "1");
        two.b.file("same/1/model.fake", "2");
        two
    }

    fn settings(&self, control_mode: ControlMode, load_models: &[&str]) -> RepositorySettings {
        RepositorySettings {
            paths: vec![self.a.path().to_owned(), self.b.path().to_owned()],
            has_namespaces: true,
            ..self.a.settings(control_mode, load_models)
        }
    }

    fn repository(&self, control_mode: ControlMode, load_models: &[&str]) -> Arc<Repository> {
        Repository::new(self.settings(control_mode, load_models), self.a.loader())
    }

    fn started(&self, control_mode: ControlMode, load_models: &[&str]) -> Arc<Repository> {
        let repository = self.repository(control_mode, load_models);
        repository.start().unwrap();
        repository
    }
}

fn title(models: &Models, name: &str) -> String {
    format!("{}::{name}", models.path().display())
}

/// The namespace of the only step of an ensemble.
fn namespace(repository: &Repository, ensemble: &str) -> String {
    let config = repository.model(ensemble, None).unwrap().config().clone();
    config.ensemble().unwrap().steps[0].model_namespace.clone()
}

#[test]
fn a_name_that_two_namespaces_have_is_ambiguous_until_its_namespace_is_given() {
    let two = Two::new();
    two.b.file("alone/1/model.fake", "3");
    let repository = two.repository(ControlMode::None, &[]);
    let report = repository.start().unwrap();
    assert!(report.is_success());
    let mut expected = vec![
        format!("{} READY", title(&two.b, "alone:1")),
        format!("{} READY", title(&two.a, "same:1")),
        format!("{} READY", title(&two.b, "same:1")),
    ];
    if two.a.path() > two.b.path() {
        expected.swap(1, 2);
    }
    assert_eq!(lines(&report), expected);
    assert_eq!(index(&repository), ["alone:1 READY", "same:1 READY", "same:1 READY"]);

    let text = "There are 2 identifiers of model 'same' in global map, model namespace must be provided to resolve \
                ambiguity.";
    assert_eq!(refusal(&repository, "same", None), (ErrorKind::InvalidArgument, text.to_owned()));
    assert!(repository.ready_models(Some("same")).is_empty());
    assert_eq!(generation(&repository, &title(&two.a, "same")), 1);
    assert_eq!(generation(&repository, &title(&two.b, "same")), 2);
    assert_eq!(generation(&repository, "alone"), 3);
    assert_eq!(generation(&repository, &title(&two.b, "alone")), 3);
    let identities = repository.ready_models(None);
    let namespaces: Vec<_> = identities.iter().map(|model| model.identity().namespace.clone().unwrap()).collect();
    assert_eq!(namespaces.len(), 3, "every model once: {namespaces:?}");
    assert_eq!(identities[0].identity().to_string(), "alone:1");
}

#[test]
fn unknown_names_and_versions_have_the_texts_of_upstream() {
    let two = Two::new();
    let repository = two.started(ControlMode::None, &[]);
    let invalid = |text: &str| (ErrorKind::InvalidArgument, text.to_owned());
    assert_eq!(refusal(&repository, "gone", None), invalid("Request for unknown model: 'gone' is not found"));
    let name = title(&two.a, "same");
    let text = format!("Request for unknown model: '{name}' version 7 is not found");
    assert_eq!(refusal(&repository, &name, Some(7)), (ErrorKind::NotFound, text));
    assert_eq!(refusal(&repository, &title(&two.a, "alone"), None).0, ErrorKind::InvalidArgument);
}

#[test]
fn without_namespaces_the_name_is_unavailable_and_the_code_another() {
    let two = Two::new();
    let settings = RepositorySettings { has_namespaces: false, ..two.settings(ControlMode::None, &[]) };
    let repository = Repository::new(settings, two.a.loader());
    assert_eq!(lines(&repository.start().unwrap()), ["same UNAVAILABLE model appears in two or more repositories"]);
    assert_eq!(refusal(&repository, "same", None).0, ErrorKind::NotFound);
    assert_eq!(refusal(&repository, &title(&two.a, "same"), None).0, ErrorKind::NotFound);
}

#[test]
fn load_and_unload_are_of_every_model_of_the_name() {
    let two = Two::new();
    let repository = two.started(ControlMode::Explicit, &[]);
    assert_eq!(index(&repository), ["same", "same"]);
    repository.load("same", LoadOverrides::default()).unwrap();
    assert_eq!(index(&repository), ["same:1 READY", "same:1 READY"]);
    repository.unload("same", false).unwrap();
    assert_eq!(index(&repository), ["same:1 UNAVAILABLE unloaded", "same:1 UNAVAILABLE unloaded"]);
    let text = "Request for unknown model: 'same' is not found".to_owned();
    assert_eq!(refusal(&repository, "same", None), (ErrorKind::InvalidArgument, text));

    two.a.file("same/1/model.fake", "error first");
    two.b.file("same/1/model.fake", "error second");
    let error = repository.load("same", LoadOverrides::default()).unwrap_err();
    for (models, why) in [(&two.a, "first"), (&two.b, "second")] {
        let text = format!(
            "load failed for model '{}': version 1 is at UNAVAILABLE state: Internal: {why};",
            title(models, "same")
        );
        assert!(error.message().lines().any(|line| line == text), "{error}");
    }
    let gone = repository.load("gone", LoadOverrides::default()).unwrap_err();
    assert_eq!(gone.message(), "failed to load 'gone', failed to poll from model repository");
}

#[test]
fn one_namespace_that_is_left_makes_the_name_plain_again() {
    let two = Two::new();
    let repository = two.started(ControlMode::Poll, &[]);
    assert_eq!(refusal(&repository, "same", None).0, ErrorKind::InvalidArgument);
    std::fs::remove_dir_all(two.a.path().join("same")).unwrap();
    repository.poll().unwrap();
    assert_eq!(generation(&repository, "same"), 2);
    two.a.file("same/1/model.fake", "4");
    repository.poll().unwrap();
    assert_eq!(refusal(&repository, "same", None).0, ErrorKind::InvalidArgument);
    assert_eq!(generation(&repository, &title(&two.a, "same")), 4);
}

#[test]
fn ensembles_prefer_their_own_namespace_and_take_the_only_other_one() {
    let two = Two::new();
    two.b.file("alone/1/model.fake", "3");
    for (name, member) in [("own", "same"), ("far", "alone")] {
        two.a.file(&format!("{name}/1/keep"), "");
        two.a.file(&format!("{name}/config.pbtxt"), &ensemble(&[member]));
    }
    let written = ensemble(&["same"]);
    let written = written.replace("'same'", &format!("'same' model_namespace: '{}'", two.b.path().display()));
    two.a.file("written/1/keep", "");
    two.a.file("written/config.pbtxt", &written);
    let repository = two.started(ControlMode::Poll, &[]);
    assert_eq!(namespace(&repository, "own"), two.a.path().display().to_string());
    assert_eq!(namespace(&repository, "far"), two.b.path().display().to_string());
    assert_eq!(namespace(&repository, "written"), two.b.path().display().to_string());

    // A model of its own namespace that comes later is preferred from then on.
    two.a.file("alone/1/model.fake", "5");
    repository.poll().unwrap();
    assert_eq!(namespace(&repository, "far"), two.a.path().display().to_string());
    // Unloading that of the other namespace does not touch it.
    std::fs::remove_dir_all(two.b.path().join("alone")).unwrap();
    repository.poll().unwrap();
    assert_eq!(namespace(&repository, "far"), two.a.path().display().to_string());
}

#[test]
fn an_ensemble_whose_member_is_ambiguous_or_in_no_such_namespace_does_not_load() {
    let two = Two::new();
    let third = Models::new();
    for (name, steps) in [
        ("unclear", ensemble(&["same"])),
        ("nowhere", ensemble(&["same"]).replace("'same'", "'same' model_namespace: '/no'")),
    ] {
        third.file(&format!("{name}/1/keep"), "");
        third.file(&format!("{name}/config.pbtxt"), &steps);
    }
    let mut settings = two.settings(ControlMode::None, &[]);
    settings.paths.push(third.path().to_owned());
    let report = Repository::new(settings, two.a.loader()).start().unwrap();
    let reason = |name: &str| report.rows.iter().find(|row| row.model == title(&third, name)).unwrap().reason.clone();
    for (name, member) in [("unclear", "same"), ("nowhere", "/no::same")] {
        let expected = format!(
            "Invalid argument: ensemble {} contains models that are not available or ambiguous: {member}",
            title(&third, name)
        );
        assert_eq!(reason(name), expected);
    }
}

#[test]
fn a_namespace_in_a_configuration_needs_the_flag() {
    let models = Models::new();
    models.file("model/1/model.fake", "1");
    models.file("e/1/keep", "");
    models.file("e/config.pbtxt", &ensemble(&["model"]).replace("'model'", "'model' model_namespace: '/b'"));
    let report = models.repository(ControlMode::None, &[]).start().unwrap();
    assert_eq!(
        report.rows[0].reason,
        "ensemble 'e' wants model 'model' of the namespace '/b', and this server has no namespaces; start it with \
         --model-namespacing=true, or remove 'model_namespace'"
    );
}

#[test]
fn a_repository_whose_path_has_the_separator_cannot_be_a_namespace() {
    let models = Models::new();
    models.file("a::b/model/1/model.fake", "1");
    let mut settings = models.settings(ControlMode::None, &[]);
    settings.paths = vec![models.path().join("a::b")];
    assert!(Repository::new(settings.clone(), models.loader()).start().unwrap().is_success());
    settings.has_namespaces = true;
    let error: InferError = Repository::new(settings, models.loader()).start().unwrap_err();
    assert!(error.message().contains("cannot be a namespace: its path contains '::'"), "{error}");
}

#[test]
fn files_that_a_client_sends_are_in_no_namespace() {
    let two = Two::new();
    let repository = two.started(ControlMode::Explicit, &[]);
    let sent = || LoadOverrides {
        config: Some(r#"{"backend": "fake"}"#.to_owned()),
        files: [("1/model.fake".to_owned(), "9".into())].into(),
        ..LoadOverrides::default()
    };
    repository.load("sent", sent()).unwrap();
    assert_eq!(generation(&repository, "sent"), 9);
    repository.load("same", LoadOverrides::default()).unwrap();
    repository.load("same", sent()).unwrap();
    assert!(refusal(&repository, "same", None).1.starts_with("There are 3 identifiers"));
    assert_eq!(repository.ready_models(None).len(), 4);
    repository.unload("same", false).unwrap();
    assert_eq!(repository.ready_models(None).len(), 1);
}
