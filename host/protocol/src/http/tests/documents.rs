//! The JSON of every resource but inference, written out.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nereid_inference::{
    Awaited, BatchDecision, BatchReason, BatchStatistics, DecisionLog, DurationStatistic, IndexEntry, InferError,
    InferRequest, InferStatistics, MemoryKind, MemoryUsage, ModelConfig, ModelIdentity, ModelState, ModelStatistics,
    ResponseStatistics, ResponseStream, ServedModel, Signature,
};

use super::super::*;

struct Described {
    identity: ModelIdentity,
    config: ModelConfig,
    signature: Signature,
}

impl ServedModel for Described {
    fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn infer(&self, _: InferRequest) -> ResponseStream {
        ResponseStream::ready(Err(InferError::unsupported("only described")))
    }

    fn statistics(&self) -> ModelStatistics {
        let once = DurationStatistic { count: 1, total_ns: 5 };
        ModelStatistics {
            identity: self.identity.clone(),
            last_inference_ms: 17,
            inference_count: 2,
            execution_count: 1,
            inference: InferStatistics { success: once, ..InferStatistics::default() },
            batches: vec![BatchStatistics { batch_size: 2, compute_infer: once, ..BatchStatistics::default() }],
            responses: vec![ResponseStatistics { cancel: once, ..ResponseStatistics::default() }],
            memory: vec![MemoryUsage { kind: MemoryKind::Cpu, device_id: 0, bytes: 4096 }],
        }
    }
}

fn described() -> Described {
    let config =
        ModelConfig { name: "M".into(), backend: "identity".into(), max_batch_size: 4, ..ModelConfig::default() };
    let signature = Signature { max_batch_size: 4, ..super::signature() };
    Described { identity: ModelIdentity::new("M", 3), config, signature }
}

#[track_caller]
fn check(document: &[u8], expected: &str) {
    assert_eq!(str::from_utf8(document).unwrap(), expected);
}

#[test]
fn model_metadata_has_the_batch_dimension_and_falls_back_to_the_backend() {
    let model = described();
    check(
        &encode_model_metadata(&model, std::slice::from_ref(model.identity())),
        concat!(
            r#"{"name":"M","versions":["3"],"platform":"identity","#,
            r#""inputs":[{"name":"X","datatype":"FP32","shape":[-1,-1]},{"name":"Y","datatype":"FP32","shape":[-1,-1]}],"#,
            r#""outputs":[{"name":"X","datatype":"FP32","shape":[-1,-1]},{"name":"Y","datatype":"FP32","shape":[-1,-1]}]}"#
        ),
    );
}

#[test]
fn server_metadata_lists_what_is_served() {
    check(
        &encode_server_metadata(ServerIdentity { id: "triton", version: "1.0" }),
        concat!(
            r#"{"name":"triton","version":"1.0","extensions":["classification","sequence","model_repository","#,
            r#""model_repository(unload_dependents)","schedule_policy","model_configuration","system_shared_memory","#,
            r#""cuda_shared_memory","binary_tensor_data","parameters","statistics","trace","logging"]}"#
        ),
    );
}

#[test]
fn the_configuration_is_the_effective_one() {
    let json = String::from_utf8(encode_config(&described().config)).unwrap();
    assert!(json.contains(r#""backend":"identity""#) && json.contains(r#""max_batch_size":4"#), "{json}");
}

#[test]
fn the_index_leaves_out_what_is_not_known() {
    let entry = |version, state, reason: &str| IndexEntry { name: "M".into(), version, state, reason: reason.into() };
    check(
        &encode_index(&[
            entry(Some(1), Some(ModelState::Ready), ""),
            entry(Some(2), Some(ModelState::Unavailable), "unloaded"),
            entry(None, None, ""),
        ]),
        concat!(
            r#"[{"name":"M","version":"1","state":"READY"},"#,
            r#"{"name":"M","version":"2","state":"UNAVAILABLE","reason":"unloaded"},{"name":"M"}]"#
        ),
    );
}

#[test]
fn statistics_name_every_stage() {
    check(
        &encode_statistics(&[described().statistics()]),
        concat!(
            r#"{"model_stats":[{"name":"M","version":"3","last_inference":17,"inference_count":2,"execution_count":1,"#,
            r#""inference_stats":{"success":{"count":1,"ns":5},"fail":{"count":0,"ns":0},"queue":{"count":0,"ns":0},"#,
            r#""compute_input":{"count":0,"ns":0},"compute_infer":{"count":0,"ns":0},"compute_output":{"count":0,"ns":0},"#,
            r#""cache_hit":{"count":0,"ns":0},"cache_miss":{"count":0,"ns":0}},"response_stats":{"0":{"compute_infer":{"count":0,"ns":0},"#,
            r#""compute_output":{"count":0,"ns":0},"success":{"count":0,"ns":0},"fail":{"count":0,"ns":0},"#,
            r#""empty_response":{"count":0,"ns":0},"cancel":{"count":1,"ns":5}}},"#,
            r#""batch_stats":[{"batch_size":2,"compute_input":{"count":0,"ns":0},"compute_infer":{"count":1,"ns":5},"#,
            r#""compute_output":{"count":0,"ns":0}}],"memory_usage":[{"type":"CPU","id":0,"byte_size":4096}]}]}"#
        ),
    );
}

#[test]
fn errors_are_one_key_with_the_text_escaped() {
    check(&encode_error("no \"x\"\n"), r#"{"error":"no \"x\"\n"}"#);
}

#[test]
fn control_bodies_may_be_empty_and_refuse_what_is_unknown() {
    assert!(!decode_index_request(b"").unwrap());
    assert!(decode_index_request(br#"{"ready":true}"#).unwrap());
    assert!(decode_index_request(br#"{"ready":1}"#).is_err());
    assert!(decode_load_request(b"{}").is_ok());
    let loaded = decode_load_request(br#"{"parameters":{"config":"{}","file:1/m":"b25ueA","file:2/m":""}}"#).unwrap();
    assert_eq!(loaded.config.as_deref(), Some("{}"));
    assert_eq!((&*loaded.files["1/m"], loaded.files["2/m"].len()), (b"onnx".as_slice(), 0));
    assert!(!loaded.overlay);
    assert!(decode_load_request(br#"{"parameters":{"overlay":true}}"#).unwrap().overlay);
    let error = decode_load_request(br#"{"parameters":{"file:1/m":"b2*u"}}"#).unwrap_err();
    assert!(error.message().starts_with("load parameter 'file:1/m' has invalid content, expected base64: "), "{error}");
    let error = decode_load_request(br#"{"parameters":{"config":{}}}"#).unwrap_err();
    assert_eq!(error.message(), "Unable to parse 'config': attempt to access JSON non-string as string");
    let error = decode_load_request(br#"{"parameters":{"x":"y"}}"#).unwrap_err();
    assert_eq!(error.message(), "unexpected error on creating Triton parameter");
    assert!(decode_unload_request(br#"{"parameters":{"unload_dependents":true}}"#).unwrap());
    assert!(!decode_unload_request(b"").unwrap());
}

#[test]
fn decisions_are_shown_with_their_words_and_with_dates() {
    let decided = Instant::now().checked_sub(Duration::from_secs(10)).unwrap();
    let decision = BatchDecision {
        decided,
        instance: "m_0_0".into(),
        requests: 3,
        rows: 4,
        oldest_wait: Duration::from_micros(1_500),
        reason: BatchReason::DelayOver,
        awaited: Awaited::Instance,
        waiting: 2,
    };
    let log = DecisionLog { total: 9, recent: vec![decision] };
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    let document = encode_decisions(&[(ModelIdentity::new("M", 3), log)]);
    let text = str::from_utf8(&document).unwrap();
    let (head, rest) = text.split_once(r#""time_us":"#).unwrap();
    let (time, tail) = rest.split_once(',').unwrap();
    assert_eq!(head, r#"{"models":[{"name":"M","version":"3","batches":9,"decisions":[{"#);
    let expected = r#""instance":"m_0_0","requests":3,"rows":4,"oldest_wait_us":1500,"reason":"delay_over","waited_for":"instance","requests_left":2}]}]}"#;
    assert_eq!(tail, expected);
    let age = before.abs_diff(time.parse().unwrap());
    assert!((9_000_000..60_000_000).contains(&age), "{age} us ago");
}
