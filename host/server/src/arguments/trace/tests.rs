//! What the flags of traces are understood as.

use nereid_inference::TraceSettings;

use super::*;

fn read(settings: &[&str]) -> Result<TraceOptions, String> {
    let settings: Result<Vec<TraceSetting>, String> = settings.iter().map(|setting| setting.parse()).collect();
    let arguments = TraceArguments { trace_settings: settings?, ..TraceArguments::default() };
    arguments.options().map_err(|error| error.to_string())
}

#[track_caller]
fn check(settings: &[&str], change: impl FnOnce(&mut TraceSettings)) {
    let mut expected = TraceOptions::default().settings;
    change(&mut expected);
    assert_eq!(read(settings).unwrap().settings, expected, "{settings:?}");
}

#[track_caller]
fn check_refused(setting: &str, expected: &str) {
    assert_eq!(read(&[setting]).unwrap_err(), expected);
}

const TIMESTAMPS: TraceLevel = TraceLevel { timestamps: true, tensors: false };
const BOTH: TraceLevel = TraceLevel { timestamps: true, tensors: true };

#[test]
fn settings_are_for_all_or_for_one_mode() {
    check(&[], |_| {});
    check(&["rate=5", "count=7", "level=TIMESTAMPS"], |settings| {
        (settings.rate, settings.count, settings.level) = (5, 7, TIMESTAMPS);
    });
    check(&["triton,file=a=b,c", "triton,log-frequency=3"], |settings| {
        (settings.file, settings.log_frequency) = ("a=b,c".to_owned(), 3);
    });
}

#[test]
fn levels_add_up_and_off_wins() {
    check(&["level=timestamps", "level=TENSORS"], |settings| settings.level = BOTH);
    check(&["level=min", "level=off", "level=tensors"], |_| {});
}

#[test]
fn older_flags_yield() {
    let arguments = TraceArguments {
        trace_settings: vec!["rate=5".parse().unwrap()],
        trace_file: Some("t.json".into()),
        trace_level: vec![TIMESTAMPS],
        trace_rate: Some(9),
        ..TraceArguments::default()
    };
    let settings = arguments.options().unwrap().settings;
    assert_eq!((settings.rate, settings.level, settings.file.as_str()), (5, TIMESTAMPS, "t.json"));
    assert_eq!(arguments.deprecations().count(), 3);
}

#[test]
fn a_collector_has_an_address_resources_and_batches() {
    let settings = [
        "mode=opentelemetry",
        "opentelemetry,url=localhost:1/v1/traces",
        "opentelemetry,resource=service.name=x",
        "opentelemetry,resource=a=b=c",
        "opentelemetry,bsp_schedule_delay=50",
    ];
    let TraceOptions { settings, open_telemetry } = read(&settings).unwrap();
    assert_eq!(open_telemetry.url, "http://localhost:1/v1/traces");
    assert_eq!(open_telemetry.resource.last().unwrap(), &("a".to_owned(), "b=c".to_owned()));
    assert_eq!(open_telemetry.delay_max, Duration::from_millis(50));
    let shown =
        |key: &str| settings.mode_settings.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    assert_eq!(shown("resource"), Some("service.name=x,a=b=c"));
    assert_eq!((shown("bsp_schedule_delay"), shown("bsp_max_queue_size")), (Some("50"), Some("2048")));
}

#[test]
fn what_is_no_setting_is_refused() {
    let form = "expected KEY=VALUE, or MODE,KEY=VALUE with the mode triton or opentelemetry";
    for text in ["rate", "rate=", "=5", "triton,=5"] {
        check_refused(text, form);
    }
    check_refused("jaeger,file=x", "expected the mode triton or opentelemetry, got 'jaeger'");
    check_refused("speed=1", "--trace-config=speed=1: expected mode, level, rate or count");
    check_refused("rate=-1", "--trace-config=rate=-1: expected a number");
    check_refused("count=-2", "--trace-config=count=-2: expected -1 (no end), 0 or more");
    check_refused("level=ALL", "--trace-config=level=ALL: expected OFF, TIMESTAMPS or TENSORS");
    check_refused(
        "opentelemetry,bsp_max_queue_size=0",
        "--trace-config=opentelemetry,bsp_max_queue_size=0: expected 1 to 100000 spans",
    );
}
