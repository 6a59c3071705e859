//! What the operator's file may say, and how its mistakes are shown.

use nereid_seeds::{for_every_random, garbled};

use super::*;

fn parsed(text: &str) -> Result<PluginPolicy, String> {
    OperatorFile::parse(text).map(|file| file.plugins)
}

fn names(names: &[&str]) -> NamePatterns {
    names.iter().copied().collect()
}

#[test]
fn an_empty_file_is_no_file() {
    let (empty, none) = (parsed("").unwrap(), PluginPolicy::default());
    assert_eq!(format!("{empty:?}"), format!("{none:?}"));
    assert_eq!((none.ceiling.models, none.ceiling.model_control), (NamePatterns::all(), names(&[])));
    assert!(none.ceiling.folders.is_empty() && none.ceiling.secrets.is_empty() && none.ceiling.environment.is_empty());
}

#[test]
fn what_is_written_is_the_ceiling_of_every_plugin() {
    let policy = parsed(
        r#"
        [plugins.limits]
        memory_mib = 64
        deadline_ms = 36000000
        [plugins.grants]
        models = ["a", "b_*"]
        model_control = ["a"]
        files = [{ path = "/srv/x", write = true }, { path = "/srv/y" }]
        environment = ["TZ"]
        secrets = ["key"]
        clocks = false
        [secrets.key]
        file = "/run/key"
        "#,
    );
    let ceiling = policy.unwrap().ceiling;
    assert_eq!(ceiling.limits.memory_bytes_max, 64 << 20);
    // The host's own ceiling stays where it is.
    assert_eq!(ceiling.limits.wall_time_max, PluginLimits::CEILING.wall_time_max);
    assert_eq!((ceiling.models, ceiling.model_control), (names(&["a", "b_*"]), names(&["a"])));
    let folder = |path: &str, write| AllowedFolder { path: path.into(), write };
    assert_eq!(ceiling.folders, [folder("/srv/x", true), folder("/srv/y", false)]);
    assert_eq!(
        (ceiling.environment, ceiling.secrets, ceiling.clocks),
        (vec!["TZ".to_owned()], vec!["key".to_owned()], false)
    );
}

#[test]
fn a_tenants_plugins_call_its_own_models_unless_the_file_says_otherwise() {
    let policy = parsed(
        r#"
        [plugins.limits]
        memory_mib = 64
        [tenants.acme]
        models = ["acme_*"]
        [tenants.bolt]
        models = ["bolt"]
        limits = { cpu_ms = 5 }
        grants = { models = ["shared_*"], clocks = false }
        "#,
    );
    let tenants = policy.unwrap().tenants;
    let [acme, bolt] = tenants.as_slice() else { panic!("{tenants:?}") };
    assert_eq!((&*acme.tenant, &acme.models, &acme.ceiling.models), ("acme", &names(&["acme_*"]), &names(&["acme_*"])));
    assert_eq!((&bolt.models, &bolt.ceiling.models), (&names(&["bolt"]), &names(&["shared_*"])));
    assert_eq!(bolt.ceiling.limits.memory_bytes_max, 64 << 20);
    assert_eq!(bolt.ceiling.limits.cpu_time_max.as_millis(), 5);
    assert_eq!((acme.ceiling.clocks, bolt.ceiling.clocks), (true, false));
}

#[test]
fn mistakes_are_shown() {
    for (text, expected) in [
        ("[plugin]\n", "1 | [plugin]\n  |  ^^^^^^"),
        ("[plugins.limits]\nmemory = 1\n", "2 | memory = 1\n  | ^^^^^^"),
        ("[tenants.a.quota]\nrate = 1\n", "unknown field `rate`, expected one of `requests_per_second`"),
        ("[tenants.a.quota]\nrequests_per_second = 0.0\n", "is wrong at [tenants.a.quota]: 'requests_per_second' is 0"),
        ("[tenants.\"\"]\n", "is wrong at [tenants]: a tenant's name must be a word"),
        ("[plugins.grants]\nsecrets = [\"k\"]\n", "grants the secret 'k', and there is no [secrets.k]"),
        ("[tenants.a.grants]\nsecrets = [\"k\"]\n", "grants the secret 'k', and there is no [secrets.k]"),
        ("[secrets.k]\n", "is wrong at [secrets.k]: give 'file' or 'environment', and one of them"),
        ("[secrets.k]\nfile = \"a\"\nenvironment = \"B\"\n", "is wrong at [secrets.k]: give 'file'"),
    ] {
        let problem = parsed(text).unwrap_err();
        assert!(problem.contains(expected), "expected {expected:?} in {problem:?}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = OperatorFile::load(Some(Path::new("/nowhere/nereid.toml"))).unwrap_err().to_string();
    assert!(
        error.starts_with("the server configuration '/nowhere/nereid.toml' cannot be read: No such file"),
        "{error}"
    );
}

/// Everything that a file may say.
const WHOLE_FILE: &str = r#"
[plugins.limits]
memory_mib = 512
deadline_ms = 100
[plugins.grants]
models = ["*"]
model_control = ["a"]
http = ["api.example.com"]
http_private = ["https://inside.example.com:8443"]
secrets = ["key"]
environment = ["TZ"]
clocks = false
files = [{ path = "/srv/lookups", write = false }]
[secrets.key]
file = "/run/secrets/key"
[tenants.acme]
models = ["acme_*"]
[tenants.acme.quota]
requests_per_second = 50
burst = 100
concurrent_requests = 8
[tenants.acme.limits]
cpu_ms = 10
[tenants.acme.grants]
clocks = true
"#;

/// Files with slips of the pen: each is an error in words, or a policy within the host's own ceiling.
#[test]
fn whatever_a_file_says_is_refused_or_within_bounds() {
    for_every_random(2_000, |random| {
        let text = garbled(random, WHOLE_FILE);
        match OperatorFile::parse(&text) {
            Err(problem) => check_problem(&text, &problem),
            Ok(OperatorFile { plugins, quotas }) => {
                let ceilings = plugins.tenants.iter().map(|tenant| &tenant.ceiling).chain([&plugins.ceiling]);
                ceilings.for_each(|ceiling| assert_eq!(ceiling.limits, ceiling.limits.within(&PluginLimits::CEILING)));
                assert_eq!(quotas.len(), plugins.tenants.len());
            }
        }
    });
}

/// After the file's name: the line with its text and a caret, or the table; then what is wrong there.
fn check_problem(text: &str, problem: &str) {
    let shown = ServerError::OperatorFile { path: "nereid.toml".into(), problem: problem.to_owned() }.to_string();
    assert!(shown.starts_with("the server configuration 'nereid.toml' "), "{shown}");
    if let Some(found) = problem.strip_prefix("is wrong: TOML parse error at line ") {
        let (line, found) = found.split_once(", column ").unwrap();
        let number: usize = line.parse().unwrap();
        let (_, found) = found.split_once('\n').unwrap();
        let place = text.split('\n').nth(number - 1).unwrap().trim_end_matches('\r');
        assert!(found.contains(&format!("\n{number} | {place}\n")), "{problem}");
        let (_, what) = found.split_once('^').unwrap();
        assert!(what.contains(|letter: char| letter.is_alphabetic()), "{problem}");
    } else if let Some(found) = problem.strip_prefix("is wrong at [") {
        let (table, what) = found.split_once(": ").unwrap();
        let outermost = table.split(['.', ']']).next().unwrap();
        assert!(["plugins", "secrets", "tenants"].contains(&outermost) && !what.is_empty(), "{problem}");
    } else {
        let (name, advice) = problem.strip_prefix("grants the secret '").unwrap().split_once("', ").unwrap();
        assert_eq!(advice, format!("and there is no [secrets.{name}]"));
    }
}
