//! Ensembles and their members at the first load.

use super::*;

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
