//! The command line as data: what is understood, and how it is refused.

use std::num::NonZeroU64;

use nereid_telemetry::MetricsSettings;

use super::*;

mod gpu;

fn parsed(command_line: &str) -> Result<Command, ArgumentError> {
    parse(std::iter::once("nereid").chain(command_line.split_whitespace()).map(OsString::from))
}

/// Parses `serve --model-repository=m` with more flags, and asserts what the flags are understood as.
fn check<T: PartialEq + std::fmt::Debug>(flags: &str, read: impl FnOnce(&ServeArguments) -> T, expected: T) {
    match parsed(&format!("serve --model-repository=m {flags}")) {
        Ok(Command::Serve(serve)) => assert_eq!(read(&serve), expected, "{flags}"),
        other => panic!("{flags}: {other:?}"),
    }
}

/// Asserts the one line with which the command line is refused.
fn check_refused(command_line: &str, expected: &str) {
    match parsed(command_line) {
        Err(error) => assert_eq!(error.to_string(), expected),
        Ok(other) => panic!("{command_line}: understood as {other:?}"),
    }
}

#[test]
fn defaults_are_tritons() {
    let services = |serve: &ServeArguments| {
        let ServiceArguments { http_port, metrics_port, exit_timeout_secs, .. } = serve.services;
        (http_port, serve.grpc.grpc_port, metrics_port, exit_timeout_secs)
    };
    check("", services, (8000, 8001, 8002, 30));
    check("", |serve| serve.services.http_address.clone(), "0.0.0.0".to_owned());
    check(
        "",
        |serve| (serve.services.allow_http, serve.grpc.allow_grpc, serve.services.allow_metrics),
        (true, true, true),
    );
    check("", |serve| serve.limits().unwrap().http.input_bytes_max, 67_108_864);
    check("", |serve| serve.models.model_control_mode, ControlMode::None);
    check("", |serve| (serve.models.strict_readiness, serve.models.exit_on_error), (true, true));
    check("", |serve| serve.models.disable_auto_complete_config, false);
    check("", |serve| serve.models.model_load_thread_count.get(), 4);
    check("", |serve| serve.services.id.clone(), "triton".to_owned());
    check("", |serve| serve.log.log_verbose, 0);
}

#[test]
fn a_value_follows_an_equals_sign_or_a_space() {
    check("--http-port=9000", |serve| serve.services.http_port, 9000);
    check("--http-port 9000", |serve| serve.services.http_port, 9000);
    check("--exit-on-error false --http-port 9000", |serve| serve.models.exit_on_error, false);
}

#[test]
fn booleans_have_six_spellings_and_stand_alone_for_true() {
    for yes in ["=true", "=on", "=1", " True", " ON", ""] {
        check(&format!("--strict-readiness=0 --strict-readiness{yes}"), |serve| serve.models.strict_readiness, true);
    }
    for no in ["=false", "=off", "=0", " FALSE", " off"] {
        check(&format!("--allow-grpc{no} --id x"), |serve| serve.grpc.allow_grpc, false);
    }
}

#[test]
fn the_last_of_a_repeated_flag_counts_and_lists_grow() {
    check("--http-port=1 --http-port=2", |serve| serve.services.http_port, 2);
    let repositories = |serve: &ServeArguments| serve.models.model_repositories.clone();
    check("--model-repository=n --model-store o", repositories, vec!["m".into(), "n".into(), "o".into()]);
    let models = |serve: &ServeArguments| serve.models.load_models.clone();
    check("--model-control-mode=explicit --load-model=a --load-model=b", models, vec!["a".into(), "b".into()]);
}

#[test]
fn metrics_listen_where_http_does_unless_told_otherwise() {
    check("--http-address=127.0.0.1", |serve| serve.services.metrics_address().to_owned(), "127.0.0.1".to_owned());
    check("--metrics-address=::1", |serve| serve.services.metrics_address().to_owned(), "::1".to_owned());
}

#[test]
fn backend_settings_are_for_one_backend_or_for_all() {
    let settings = |serve: &ServeArguments| serve.backends.backend_settings.clone();
    let setting = |backend: Option<&str>, key: &str, value: &str| BackendSetting {
        backend: backend.map(str::to_owned),
        key: key.to_owned(),
        value: value.to_owned(),
    };
    check(
        "--backend-config=onnxruntime,library=/a=b,c",
        settings,
        vec![setting(Some("onnxruntime"), "library", "/a=b,c")],
    );
    check("--backend-config default-max-batch-size=8", settings, vec![setting(None, "default-max-batch-size", "8")]);
    check("--backend-config=,a=b", settings, vec![setting(None, "a", "b")]);
    check_refused(
        "serve --model-repository=m --backend-config=onnxruntime",
        "--backend-config=onnxruntime: expected BACKEND,KEY=VALUE, or KEY=VALUE for every backend",
    );
}

#[test]
fn clients_share_memory_only_when_told() {
    check("", |serve| serve.services.shared_memory().is_allowed, false);
    check("--allow-client-shm", |serve| serve.services.shared_memory().is_allowed, true);
}

#[test]
fn metrics_are_switched_kind_by_kind() {
    check("", |serve| serve.services.metrics_settings(), MetricsSettings::default());
    let flags =
        "--metrics-config summary_latencies=true --metrics-config=counter_latencies=false --allow-cpu-metrics=0";
    let expected = MetricsSettings {
        summary_latencies: true,
        counter_latencies: false,
        host_usage: false,
        ..MetricsSettings::default()
    };
    check(flags, |serve| serve.services.metrics_settings(), expected);
    for wrong in ["summary_latencies", "m,summary_latencies=true", "=true", "summary_latencies="] {
        let reason = "option format is <setting>=<value>, for all models";
        check_refused(
            &format!("serve --model-repository=m --metrics-config={wrong}"),
            &format!("--metrics-config={wrong}: {reason}"),
        );
    }
}

#[test]
fn a_memory_budget_is_a_size_and_off_unless_given() {
    let bytes = |serve: &ServeArguments| serve.models.memory_budget.map(NonZeroU64::get);
    check("", bytes, None);
    for (text, expected) in [("1000", 1_000), ("2k", 2_048), ("3M", 3 << 20), ("4 GiB", 4 << 30), ("5MiB", 5 << 20)] {
        let command = ["nereid", "serve", "--model-repository=m", "--memory-budget", text];
        match parse(command.map(OsString::from)) {
            Ok(Command::Serve(serve)) => assert_eq!(bytes(&serve), Some(expected), "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    for text in ["0", "-1", "M", "1.5G", "2mm", "99999999999G"] {
        assert!(parsed(&format!("serve --model-repository=m --memory-budget={text}")).is_err(), "{text}");
    }
}

#[test]
fn namespaces_are_off_unless_asked_for() {
    let namespacing = |serve: &ServeArguments| serve.models.model_namespacing;
    check("", namespacing, false);
    check("--model-namespacing=false", namespacing, false);
    check("--model-namespacing=true", namespacing, true);
    assert!(matches!(parsed("check m --model-namespacing"), Ok(Command::Check(check)) if check.model_namespacing));
}

#[test]
fn the_rate_limiter_and_its_resources_are_read_as_upstream() {
    let limiter = |serve: &ServeArguments| {
        let resources = serve.instances.rate_limit_resources.iter();
        let resources = resources.map(|supply| (supply.name.clone(), supply.count, supply.device)).collect::<Vec<_>>();
        (serve.instances.rate_limit, resources)
    };
    check("", limiter, (RateLimit::Off, vec![]));
    check("--rate-limit=off", |serve| serve.instances.rules().rate_limiter.is_none(), true);
    check(
        "--rate-limit=Execution_Count --rate-limit-resource=R1:4 --rate-limit-resource R2:8:1",
        limiter,
        (RateLimit::ExecutionCount, vec![("R1".to_owned(), 4, None), ("R2".to_owned(), 8, Some(1))]),
    );
    check_refused(
        "serve --model-repository=m --rate-limit=on",
        "--rate-limit=on: invalid argument for --rate-limit, expected 'execution_count' or 'off'",
    );
    for wrong in ["R1", "R1:", "R1:x", ":4", "R1:4:x", "R1:4:0:1", "R1:-4"] {
        check_refused(
            &format!("serve --model-repository=m --rate-limit-resource={wrong}"),
            &format!(
                "--rate-limit-resource={wrong}: --rate-limit-resource option format is \
                 '<resource_name>:<count>:<device>' or '<resource_name>:<count>'. Got {wrong}"
            ),
        );
    }
}

#[test]
fn host_policies_are_gathered_by_name_and_refused_in_tritons_words() {
    let policy = |serve: &ServeArguments| {
        let policy = serve.instances.rules().host_policies.get("cpu");
        (policy.cores.map(|cores| cores.to_string()), policy.numa_node)
    };
    check("", policy, (None, None));
    check(
        "--host-policy=cpu,numa-node=0 --host-policy cpu,cpu-cores=0-1,4-5",
        policy,
        (Some("0-1,4-5".into()), Some(0)),
    );
    check_refused(
        "serve --model-repository=m --host-policy=cpu,speed=9",
        "--host-policy=cpu,speed=9: Unsupported host policy setting 'speed' is specified, supported settings are \
         'numa-node', 'cpu-cores'",
    );
    check_refused(
        "serve --model-repository=m --host-policy=cpu,cpu-cores=3",
        "--host-policy=cpu,cpu-cores=3: host policy setting 'cpu-cores' format is \
         '<lower_cpu_core_id>-<upper_cpu_core_id>'. Got 3",
    );
    for wrong in ["cpu", "cpu,cpu-cores", ",cpu-cores=0-1", "cpu,=1", "cpu,numa-node="] {
        check_refused(
            &format!("serve --model-repository=m --host-policy={wrong}"),
            &format!(
                "--host-policy={wrong}: --host-policy option format is '<policy name>,<setting>=<value>'. Got {wrong}"
            ),
        );
    }
}

#[test]
fn flags_that_only_tune_tritonserver_are_accepted_and_explained() {
    let given = |serve: &ServeArguments| serve.hints.given().into_iter().map(|(flag, _)| flag).collect::<Vec<_>>();
    check("", given, vec![]);
    check(
        "--http-thread-count=8 --grpc-http2-max-ping-strikes 0 --grpc-keepalive-permit-without-calls",
        given,
        vec!["http-thread-count", "grpc-keepalive-permit-without-calls", "grpc-http2-max-ping-strikes"],
    );
    check(
        "--cuda-virtual-address-size=0:67108864 --grpc-infer-allocation-pool-size=0 --enable-peer-access",
        given,
        vec!["grpc-infer-allocation-pool-size", "cuda-virtual-address-size", "enable-peer-access"],
    );
    check_refused(
        "serve --model-repository=m --grpc-infer-thread-count=1",
        "--grpc-infer-thread-count=1: expected a whole number from 2 to 128",
    );
}

#[test]
fn grpc_connections_live_as_long_as_they_are_told() {
    let ages = |serve: &ServeArguments| {
        let connections = serve.grpc.connections();
        (connections.age_max, connections.age_grace, connections.keepalive_interval.as_secs())
    };
    check("", ages, (None, None, 7_200));
    let ms = std::time::Duration::from_millis;
    check(
        "--grpc-max-connection-age=10 --grpc-max-connection-age-grace=20 --grpc-keepalive-time=9000",
        ages,
        (Some(ms(10)), Some(ms(20)), 9),
    );
    let level = |serve: &ServeArguments| serve.grpc.grpc_infer_response_compression_level;
    check("--grpc-infer-response-compression-level=HIGH", level, CompressionLevel::High);
    check_refused(
        "serve --model-repository=m --grpc-infer-response-compression-level=best",
        "--grpc-infer-response-compression-level=best: expected 'none', 'low', 'medium' or 'high'",
    );
}

#[test]
fn a_header_pattern_that_is_none_is_refused_before_anything_starts() {
    match parsed("serve --model-repository=m --http-header-forward-pattern=x-(") {
        Err(error) => assert!(error.to_string().contains("unclosed group"), "{error}"),
        Ok(other) => panic!("{other:?}"),
    }
}

#[test]
fn limits_are_changed_by_name_and_shown_by_a_command() {
    let body = |serve: &ServeArguments| serve.limits().unwrap().http.input_bytes_max;
    check("--limit=http-body=1MiB", body, 1 << 20);
    check("--limit http-body=1MiB --limit http-body=2MiB --limit=grpc-connections=5", body, 2 << 20);
    check("--http-max-input-size=1024", body, 1024);
    check_refused(
        "serve --model-repository=m --limit=http-head=soon",
        "--limit=http-head=soon: expected a time: a number with ms, s, min or h",
    );
    match parsed("limits --limit http-head=3s") {
        Ok(Command::Print(text)) => assert!(text.contains("http-head") && text.contains("| 3 s "), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_misspelt_flag_is_refused_with_the_right_one() {
    check_refused(
        "serve --modle-repository=m",
        "unknown flag '--modle-repository' (did you mean '--model-repository'?); 'nereid serve --help' lists the flags",
    );
    check_refused("serve --zzz", "unknown flag '--zzz'; 'nereid serve --help' lists the flags");
    check_refused("serv", "unknown command 'serv' (did you mean 'serve'?); 'nereid --help' lists the commands");
}

#[test]
fn a_flag_of_tritonserver_that_is_not_served_is_refused_by_name() {
    check_refused(
        "serve --model-repository=m --strict-model-config=true",
        "--strict-model-config is a flag of tritonserver that is not served yet: it is tritonserver's old flag; use --disable-auto-complete-config for 'true'",
    );
}

#[test]
fn the_directories_are_followed_in_the_poll_mode_only() {
    let interval = |serve: &ServeArguments| serve.models.poll_interval().map(|interval| interval.as_secs());
    check("", interval, None);
    check("--repository-poll-secs=3", interval, None);
    check("--model-control-mode=explicit --repository-poll-secs=3", interval, None);
    check("--model-control-mode=poll", interval, Some(15));
    check("--model-control-mode=poll --repository-poll-secs=3", interval, Some(3));
    check("--model-control-mode=poll --repository-poll-secs=0", interval, None);
    check_refused(
        "serve --model-repository=m --model-control-mode=poll --load-model=a",
        "--load-model needs --model-control-mode=explicit or ondemand",
    );
    check_refused(
        "serve --model-repository=m --repository-poll-secs=-1",
        "--repository-poll-secs=-1: -1 is not in 0..=4294967295",
    );
}

#[test]
fn a_value_that_cannot_be_is_refused_with_the_reason() {
    check_refused(
        "serve --model-repository=m --model-control-mode=push",
        "--model-control-mode=push: expected 'none', 'poll', 'explicit' or 'ondemand'",
    );
    check_refused("serve --model-repository=m --http-port=70000", "--http-port=70000: 70000 is not in 0..=65535");
    check_refused(
        "serve --model-repository=m --allow-http=maybe",
        "--allow-http=maybe: expected true, false, on, off, 1 or 0",
    );
    check_refused(
        "serve --model-repository=m --log-format=json",
        "--log-format=json: expected 'default' or 'ISO8601', got 'json'",
    );
    check_refused("serve --model-repository", "--model-repository needs a value; 'nereid serve --help' says which");
    check_refused(
        "serve --model-repository=m --model-load-thread-count=0",
        "--model-load-thread-count=0: number would be zero for non-zero type",
    );
}

#[test]
fn flags_that_need_each_other_say_so() {
    check_refused("serve", "--model-repository is missing: it names the directory whose models to serve");
    check_refused(
        "serve --model-repository=m --load-model=a",
        "--load-model needs --model-control-mode=explicit or ondemand",
    );
    check_refused(
        "serve --model-repository=m --allow-http=0 --allow-grpc=0",
        "--allow-http=false with --allow-grpc=false leaves nobody to serve",
    );
}

#[test]
fn words_that_belong_to_no_flag_are_refused() {
    check_refused("", "no command given: try 'nereid serve --model-repository=DIR', or 'nereid --help'");
    check_refused(
        "serve model_repository",
        "'model_repository' stands alone: values belong to flags, for example --model-repository=model_repository",
    );
    check_refused("check", "<DIR>... is missing; 'nereid --help' shows how to call it");
}

#[test]
fn check_takes_directories() {
    match parsed("check a b --disable-auto-complete-config") {
        Ok(Command::Check(check)) => {
            assert_eq!(check.directories, [PathBuf::from("a"), PathBuf::from("b")]);
            assert!(check.disable_auto_complete_config);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn help_and_version_are_printed() {
    let text = |command_line| match parsed(command_line) {
        Ok(Command::Print(text)) => text,
        other => panic!("{other:?}"),
    };
    assert_eq!(text("--version"), format!("nereid {}\n", env!("CARGO_PKG_VERSION")));
    assert!(text("--help").contains("nereid serve --model-repository=model_repository"));
    let help = text("serve --help");
    assert!(help.contains("--model-repository <DIR>") && help.contains("--model-store"), "{help}");
    assert!(help.contains("--model-namespacing") && help.contains("ondemand"), "{help}");
}
