//! What is asked for against what is allowed, grant by grant.

use std::{fs, path::Path};

use nereid_inference::{ErrorKind, LoadClock, ModelConfig, ModelIdentity};
use nereid_seeds::{for_every_random, garbled};
use tempfile::TempDir;

use super::*;
use crate::plugin_file;

/// A model's directory with version 1, and in it the folder `data`.
fn model() -> (TempDir, ModelSource) {
    let directory = tempfile::tempdir().unwrap();
    let version_directory = directory.path().join("1");
    fs::create_dir_all(version_directory.join("data")).unwrap();
    let source = ModelSource {
        identity: ModelIdentity::new("m", 1),
        model_directory: directory.path().to_owned(),
        version_directory,
        config: ModelConfig::default(),
        clock: LoadClock::default(),
    };
    (directory, source)
}

fn settle(policy: &PluginPolicy, source: &ModelSource, plugin_toml: &str) -> Result<Grants, InferError> {
    let asked = plugin_file::parse("plugin.toml", plugin_toml).unwrap();
    policy.settle(source, asked, &PluginLimits::DEFAULT).map(|(_, grants)| grants)
}

/// Everything that is missing, line by line.
#[track_caller]
fn denied(policy: &PluginPolicy, plugin_toml: &str) -> Vec<String> {
    let (_directory, source) = model();
    let error = settle(policy, &source, plugin_toml).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
    let mut lines = error.message().lines().map(|line| line.trim().to_owned());
    assert_eq!(lines.next().unwrap(), "plugin.toml of model 'm' asks for what it cannot be granted:");
    lines.collect()
}

fn with(ceiling: Ceiling) -> PluginPolicy {
    PluginPolicy { ceiling, ..PluginPolicy::default() }
}

#[test]
fn nothing_is_granted_that_is_not_asked_for() {
    let (_directory, source) = model();
    let everything = Ceiling {
        model_control: NamePatterns::all(),
        environment: vec!["PATH".to_owned()],
        folders: vec![AllowedFolder { path: "/".into(), write: true }],
        ..Ceiling::default()
    };
    let grants = settle(&with(everything), &source, "").unwrap();
    assert!(grants.models.asked.is_empty() && grants.model_control.asked.is_empty() && grants.folders.is_empty());
    assert!(grants.environment.is_empty() && grants.secrets.is_empty());
    assert_eq!((grants.clocks, grants.random_seed), (Clocks::Still, None));
}

#[test]
fn without_an_operator_a_plugin_may_have_what_is_its_own() {
    let (_directory, source) = model();
    let text = r#"
        [grants]
        models = ["digits", "x_*"]
        clocks = true
        random_seed = 7
        environment = { REGION = "eu" }
        files = [{ path = "data", at = "/data" }, { path = ".", at = "/model" }]
    "#;
    let grants = settle(&PluginPolicy::default(), &source, text).unwrap();
    assert_eq!((grants.clocks, grants.random_seed), (Clocks::Running, Some(7)));
    assert_eq!(grants.environment["REGION"], "eu");
    let folders: Vec<_> = grants.folders.iter().map(|folder| (&*folder.guest_path, folder.is_writable)).collect();
    assert_eq!(folders, [("/data", false), ("/model", false)]);
}

#[test]
fn everything_that_is_missing_is_in_one_text() {
    let text = r#"
        [grants]
        model_control = ["digits"]
        secrets = ["key"]
        inherit_environment = ["PATH"]
        files = [{ path = "/", at = "/all" }]
    "#;
    assert_eq!(
        denied(&PluginPolicy::default(), text),
        [
            "model_control 'digits': the operator does not allow it ([plugins.grants] model_control in nereid.toml)",
            "files '/': it is outside the model's own version directory, and the operator does not let it be read \
         ([[plugins.grants.files]] in nereid.toml)",
            "inherit_environment 'PATH': the operator does not allow it ([plugins.grants] environment in nereid.toml)",
            "secrets 'key': the operator does not allow it ([plugins.grants] secrets in nereid.toml)",
        ]
    );
}

#[test]
fn patterns_that_nothing_can_match_are_denied_and_others_are_compared_at_the_call() {
    let ceiling = Ceiling { models: ["b_*"].into_iter().collect(), ..Ceiling::default() };
    let (_directory, source) = model();
    let grants = settle(&with(ceiling.clone()), &source, "[grants]\nmodels = [\"*\"]\n").unwrap();
    assert!(grants.models.is_allowed("b_1") && !grants.models.is_allowed("a"));
    assert_eq!(denied(&with(ceiling), "[grants]\nmodels = [\"a\", \"b_1\"]\n").len(), 1);
    let text = "[grants]\nmodel_control = [\"*\"]\n";
    assert_eq!(
        denied(&PluginPolicy::default(), text),
        ["model_control: the operator allows none ([plugins.grants] model_control in nereid.toml)"]
    );
}

#[test]
fn clocks_that_the_operator_stopped_are_denied() {
    let lines = denied(&with(Ceiling { clocks: false, ..Ceiling::default() }), "[grants]\nclocks = true\n");
    assert!(lines[0].starts_with("clocks = true: the operator allows no clocks that run"), "{lines:?}");
}

#[test]
fn a_folder_outside_must_be_allowed_and_writing_too() {
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir(outside.path().join("deep")).unwrap();
    let asked =
        |path: &Path, write| format!("[[grants.files]]\npath = \"{}\"\nat = \"/x\"\nwrite = {write}\n", path.display());
    let allowing = |write| {
        with(Ceiling { folders: vec![AllowedFolder { path: outside.path().to_owned(), write }], ..Ceiling::default() })
    };
    let (_directory, source) = model();
    for path in [outside.path().to_owned(), outside.path().join("deep")] {
        assert!(settle(&allowing(false), &source, &asked(&path, false)).is_ok());
        assert!(settle(&allowing(true), &source, &asked(&path, true)).unwrap().folders[0].is_writable);
        assert!(denied(&allowing(false), &asked(&path, true))[0].contains("does not let it be written"));
    }
    let parent = outside.path().parent().unwrap();
    assert!(denied(&allowing(true), &asked(parent, false))[0].contains("does not let it be read"));
}

#[test]
fn a_link_out_of_the_models_directory_is_what_it_points_to() {
    let (_directory, source) = model();
    std::os::unix::fs::symlink("/etc", source.version_directory.join("data/etc")).unwrap();
    let error = settle(&PluginPolicy::default(), &source, "[[grants.files]]\npath = \"data/etc\"\nat = \"/etc\"\n");
    assert!(error.unwrap_err().message().contains("it is outside the model's own version directory"));
}

#[test]
fn folders_that_cannot_be_are_named() {
    let folder = |path: &str, at: &str, write: bool| {
        format!("[[grants.files]]\npath = \"{path}\"\nat = \"{at}\"\nwrite = {write}\n")
    };
    for (text, expected) in [
        (folder("nothing", "/x", false), "nothing' cannot be opened: No such file"),
        (folder("data", "x", false), "at = 'x' must be a path like '/lookup'"),
        (folder("data", "/x/../y", false), "at = '/x/../y' must be a path like '/lookup'"),
        (folder("data", "/x/", false), "at = '/x/' must be a path like '/lookup'"),
        (folder("data", "/x", true), "a model's own directory is for reading"),
        (folder("data", "/x", false) + &folder(".", "/x", false), "there are two folders at '/x'"),
        ((0..17).map(|index| folder("data", &format!("/{index}"), false)).collect(), "17 folders, 16 are the most"),
    ] {
        let lines = denied(&PluginPolicy::default(), &text);
        assert!(lines.iter().any(|line| line.contains(expected)), "expected {expected:?} in {lines:?}");
    }
}

#[test]
fn variables_are_inherited_when_the_operator_lets_them_be() {
    let (_directory, source) = model();
    let policy = with(Ceiling { environment: vec!["PATH".to_owned(), "NOT_SET_X".to_owned()], ..Ceiling::default() });
    let grants = settle(&policy, &source, "[grants]\ninherit_environment = [\"PATH\"]\n").unwrap();
    assert_eq!(grants.environment["PATH"], env::var("PATH").unwrap());
    let lines = denied(&policy, "[grants]\ninherit_environment = [\"NOT_SET_X\"]\n");
    assert!(lines[0].contains("has no such variable"), "{lines:?}");
    let lines = denied(&policy, "[grants]\nenvironment = { \"A=B\" = \"x\" }\n");
    assert!(lines[0].contains("'A=B' cannot be the name of a variable"), "{lines:?}");
}

#[test]
fn secrets_are_read_where_they_are_kept() {
    let kept = tempfile::NamedTempFile::new().unwrap();
    fs::write(kept.path(), "hunter2\n").unwrap();
    let ceiling = Ceiling { secrets: ["f", "e", "gone", "nowhere"].map(str::to_owned).into(), ..Ceiling::default() };
    let secrets = BTreeMap::from([
        ("f".to_owned(), SecretSource::File(kept.path().to_owned())),
        ("e".to_owned(), SecretSource::Environment("PATH".to_owned())),
        ("gone".to_owned(), SecretSource::File("/nowhere/at/all".into())),
    ]);
    let policy = PluginPolicy { ceiling, secrets, ..PluginPolicy::default() };
    let (_directory, source) = model();
    let grants = settle(&policy, &source, "[grants]\nsecrets = [\"f\", \"e\"]\n").unwrap();
    assert_eq!(grants.secrets.keys().collect::<Vec<_>>(), ["e", "f"]);
    assert_eq!(grants.secrets["f"].bytes(), b"hunter2");
    assert_eq!(
        denied(&policy, "[grants]\nsecrets = [\"gone\", \"nowhere\", \"other\"]\n"),
        [
            "secrets 'gone': '/nowhere/at/all' cannot be read: No such file or directory (os error 2)",
            "secrets 'nowhere': there is no [secrets.nowhere] in nereid.toml",
            "secrets 'other': the operator does not allow it ([plugins.grants] secrets in nereid.toml)",
        ]
    );
}

#[test]
fn servers_must_be_allowed_by_the_operator_and_by_the_tenant() {
    let rules = |texts: &[&str]| texts.iter().map(|text| HttpRule::parse(text, false).unwrap()).collect::<Vec<_>>();
    let ceiling = Ceiling { http: rules(&["*.example.com", "http://10.0.0.7:9000"]), ..Ceiling::default() };
    let (_directory, source) = model();
    let asked = "[grants]\nhttp = [\"api.example.com\", \"http://10.0.0.7:9000\"]\n";
    assert_eq!(settle(&with(ceiling.clone()), &source, asked).unwrap().http.rules.len(), 2);
    assert_eq!(
        denied(&PluginPolicy::default(), "[grants]\nhttp = [\"x.y\"]\n"),
        ["http 'x.y': the operator does not allow it ([plugins.grants] http in nereid.toml)"]
    );
    assert_eq!(
        denied(&with(ceiling.clone()), "[grants]\nhttp_private = [\"api.example.com\"]\nhttp = [\"ftp://x\"]\n"),
        [
            "http 'ftp://x': the scheme 'ftp' is neither 'https' nor 'http'",
            "http_private 'api.example.com': the operator does not allow it ([plugins.grants] http_private in nereid.toml)",
        ]
    );
    let tenant = TenantPlugins {
        tenant: "acme".into(),
        models: ["m"].into_iter().collect(),
        ceiling: Ceiling { http: rules(&["api.example.com"]), ..Ceiling::default() },
    };
    let policy = PluginPolicy { tenants: vec![tenant], ..with(ceiling) };
    assert_eq!(denied(&policy, asked).len(), 1);
}

#[test]
fn a_tenants_ceiling_comes_on_top() {
    let tenant = TenantPlugins {
        tenant: "acme".into(),
        models: ["m*"].into_iter().collect(),
        ceiling: Ceiling { models: ["m*"].into_iter().collect(), clocks: false, ..Ceiling::default() },
    };
    let policy = PluginPolicy { tenants: vec![tenant], ..PluginPolicy::default() };
    assert_eq!(denied(&policy, "[grants]\nmodels = [\"m2\", \"other\"]\nclocks = true\n").len(), 2);
    let (_directory, source) = model();
    let elsewhere = ModelSource { identity: ModelIdentity::new("n", 1), ..source };
    assert!(settle(&policy, &elsewhere, "[grants]\nmodels = [\"other\"]\nclocks = true\n").is_ok());
}

/// Everything that a file may say.
const WHOLE_FILE: &str = r#"
[limits]
memory_mib = 64
deadline_ms = 100
host_calls = 1000
http_timeout_ms = 10

[grants]
models = ["embed_*", "rank"]
model_control = ["rank"]
inherit_environment = ["TZ"]
secrets = ["key"]
http = ["api.example.com", "https://other.example.com:8443"]
http_private = ["inside.example.com"]
clocks = true
random_seed = 7

[grants.environment]
MODE = "fast"

[[grants.files]]
path = "data"
at = "/data"
write = true
"#;

/// Files with slips of the pen: each is an error that names the file or the model, or asks for something, and gets no more than is allowed.
#[test]
fn whatever_a_file_says_it_gets_no_more_than_is_allowed() {
    for_every_random(400, |random| {
        let (_directory, source) = model();
        let limits = PluginLimits { memory_bytes_max: 32 << 20, host_calls_max: 500, ..PluginLimits::CEILING };
        let policy = with(Ceiling { limits, clocks: false, ..Ceiling::default() });
        let asked = match plugin_file::parse("m/plugin.toml", &garbled(random, WHOLE_FILE)) {
            Ok(asked) => asked,
            Err(error) => return assert!(error.message().starts_with("m/plugin.toml: "), "{error}"),
        };
        match policy.settle(&source, asked, &PluginLimits::DEFAULT) {
            Err(error) => assert!(error.message().contains("model 'm'"), "{error}"),
            Ok((limits, grants)) => {
                assert_eq!(limits, limits.within(&policy.ceiling.limits));
                assert!(grants.http.rules.is_empty() && grants.secrets.is_empty(), "{grants:?}");
            }
        }
    });
}
