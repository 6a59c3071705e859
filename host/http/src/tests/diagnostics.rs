//! Settings of traces and of the log; and what a traced request tells.

use std::sync::Arc;

use nereid_telemetry::{ServerDiagnostics, TraceOptions, Traces};

use super::doubles::{Behaviour, ask, double, frontend};
use crate::HttpFrontend;

/// The one door: one request, its status and its body.
async fn check(frontend: &HttpFrontend, line: &str, body: &str, (status, expected): (u16, &str)) {
    let answer = ask(frontend.clone(), line, &[], body.as_bytes()).await;
    assert_eq!((answer.status.as_u16(), &*String::from_utf8_lossy(&answer.body)), (status, expected), "{line}");
}

/// Model `m`, every request of which is traced into the file.
fn traced(file: &std::path::Path) -> (HttpFrontend, Arc<Traces>) {
    let mut options = TraceOptions::default();
    options.settings.rate = 1;
    options.settings.level.timestamps = true;
    options.settings.file = file.display().to_string();
    let traces = Traces::start(options).unwrap();
    let log = ServerDiagnostics::detached().log.clone();
    let diagnostics = Arc::new(ServerDiagnostics { traces: traces.clone(), log });
    (HttpFrontend { diagnostics, ..frontend(vec![double("m", Behaviour::Echo)]) }, traces)
}

#[tokio::test]
async fn the_log_is_shown_and_changed() {
    let frontend = frontend(vec![]);
    let start = r#"{"log_file":"","log_info":true,"log_warning":true,"log_error":true,"log_verbose_level":0,"log_format":"default"}"#;
    check(&frontend, "GET /v2/logging", "", (200, start)).await;
    let changed = r#"{"log_file":"","log_info":false,"log_warning":true,"log_error":true,"log_verbose_level":1,"log_format":"ISO8601"}"#;
    let change = r#"{"log_info":false,"log_verbose_level":1,"log_format":"ISO8601","log_error":null}"#;
    check(&frontend, "POST /v2/logging", change, (200, changed)).await;
    let file = r#"{"error":"log file location can not be updated through network protocol"}"#;
    check(&frontend, "POST /v2/logging", r#"{"log_file":"x","log_info":true}"#, (501, file)).await;
    let format = r#"{"error":"invalid argument for --log_format, got: x"}"#;
    check(&frontend, "POST /v2/logging", r#"{"log_format":"x"}"#, (503, format)).await;
    check(&frontend, "GET /v2/logging", "", (200, changed)).await;
    check(&frontend, "PUT /v2/logging", "", (405, r#"{"error":"Method Not Allowed"}"#)).await;
}

#[tokio::test]
async fn traces_are_set_for_all_models_and_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let (frontend, _) = traced(&folder.path().join("t"));
    let shown = |level: &str, rate: u32| {
        let file = folder.path().join("t");
        format!(
            r#"{{"trace_level":["{level}"],"trace_rate":"{rate}","trace_count":"-1","log_frequency":"0","trace_file":"{}","trace_mode":"triton"}}"#,
            file.display()
        )
    };
    let model = "/v2/models/m/trace/setting";
    check(&frontend, "GET /v2/trace/setting", "", (200, &shown("TIMESTAMPS", 1))).await;
    check(&frontend, &format!("POST {model}"), r#"{"trace_rate":"5"}"#, (200, &shown("TIMESTAMPS", 5))).await;
    check(&frontend, "POST /v2/trace/setting", r#"{"trace_level":["OFF"]}"#, (200, &shown("OFF", 1))).await;
    check(&frontend, &format!("GET {model}"), "", (200, &shown("OFF", 5))).await;
    check(&frontend, &format!("POST {model}"), r#"{"trace_rate":null}"#, (200, &shown("OFF", 1))).await;
    let unknown = r#"{"error":"Request for unknown model : none"}"#;
    check(&frontend, "GET /v2/models/none/trace/setting", "", (400, unknown)).await;
    check(&frontend, "POST /v2/models/none/trace/setting", "{}", (400, unknown)).await;
    let file = r#"{"error":"trace file location can not be updated through network protocol"}"#;
    check(&frontend, "POST /v2/trace/setting", r#"{"trace_file":"x"}"#, (501, file)).await;
    check(&frontend, "GET /v2/models/m/versions/1/trace/setting", "", (404, r#"{"error":"Not Found"}"#)).await;
}

#[tokio::test]
async fn a_traced_request_tells_its_way_in_and_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t");
    let (frontend, traces) = traced(&file);
    let infer = r#"{"id":"r","inputs":[{"name":"X","shape":[1],"datatype":"FP32","data":[1.5]}]}"#;
    for (path, body) in [("infer", infer), ("generate", r#"{"X":1.5}"#), ("generate_stream", r#"{"X":1.5}"#)] {
        assert_eq!(ask(frontend.clone(), &format!("POST /v2/models/m/{path}"), &[], body.as_bytes()).await.status, 200);
    }
    assert_eq!(ask(frontend, "POST /v2/models/m/infer", &[], b"{").await.status, 500);
    traces.close();
    let text = std::fs::read_to_string(file).unwrap();
    let names = |id: u32| -> Vec<&str> {
        let of_trace = text.lines().filter(|line| line.contains(&format!("{{\"id\":{id},\"timestamps\"")));
        of_trace.map(|line| line.split("\"name\":\"").nth(1).unwrap().split('"').next().unwrap()).collect()
    };
    let whole = ["HTTP_RECV_START", "HTTP_RECV_END", "INFER_RESPONSE_COMPLETE", "HTTP_SEND_START", "HTTP_SEND_END"];
    for id in [1, 2, 3] {
        assert_eq!(names(id), whole, "{text}");
    }
    assert_eq!(names(4), ["HTTP_RECV_START", "HTTP_RECV_END"]);
}
