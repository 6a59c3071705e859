//! `nereid check`: the same reading and checking, without loading.

use super::*;

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
