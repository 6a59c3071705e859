//! What only plugins in Go have: a collector that runs beside calls of the host, goroutines that nobody answers for, handles that a
//! collector would drop late. The guest is that of `contract.rs`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::time::Duration;

use nereid_inference::{ErrorKind, InferResponse, ParameterValue};
use nereid_plugin::{CompiledPlugin, PluginLimits, PluginSpec, SandboxPool};
use nereid_tensor::DataType;
use support::{
    languages::{ask, asking, numbers, plugins, pool_of, run},
    spec, values,
};

fn go() -> Option<&'static CompiledPlugin> {
    plugins().find(|(language, _)| language.name == "go").map(|(_, compiled)| compiled)
}

/// A machine that is busy with other tests takes its time.
fn patient(memory_bytes_max: u64) -> PluginSpec {
    let time = Duration::from_secs(120);
    let limits = PluginLimits { memory_bytes_max, wall_time_max: time, cpu_time_max: time, ..PluginLimits::DEFAULT };
    PluginSpec { limits, ..spec() }
}

async fn garbage(pool: &SandboxPool, elements: usize, rounds: i64) -> InferResponse {
    let mut request = asking("garbage", numbers(&vec![1.0; elements]));
    request.parameters.insert("rounds", ParameterValue::Int(rounds));
    run(pool, DataType::Fp32, request).await.unwrap_or_else(|error| panic!("{elements} elements: {error}"))
}

#[tokio::test]
async fn the_collector_runs_in_calls_and_never_where_the_host_hands_over_memory() {
    let Some(compiled) = go() else { return };
    let pool = pool_of(compiled, patient(256 << 20));
    // Growing and shrinking: what a collection frees is asked for again, and more than that.
    for (elements, rounds) in [(150_000, 60), (10, 500), (700_000, 20), (250_000, 60)] {
        let response = garbage(&pool, elements, rounds).await;
        let Some(ParameterValue::String(said)) = response.parameters.get("said") else { panic!("{response:?}") };
        // Little is not worth a collection.
        assert!(said == "1 true" || elements == 10 && said == "1 false", "{elements} elements: {said}");
    }
}

#[tokio::test]
async fn what_was_read_does_not_stay_for_the_length_of_a_call() {
    let Some(compiled) = go() else { return };
    // 16 copies of a megabyte are kept; two hundred are read.
    let response = garbage(&pool_of(compiled, patient(96 << 20)), 250_000, 200).await;
    assert_eq!(values(&response).len(), 250_000);
}

#[tokio::test]
async fn a_tensor_that_is_given_away_twice_is_the_error_of_its_request() {
    let Some(compiled) = go() else { return };
    let pool = pool_of(compiled, spec());
    let error = ask(&pool, "twice", &[1.0]).await.unwrap_err();
    assert!(error.message().contains("Share makes another handle first"), "{error}");
    assert_eq!(values(&ask(&pool, "pass", &[1.0]).await.unwrap()), [1.0]);
}

#[tokio::test]
async fn an_accident_outside_of_the_call_costs_the_guest_and_the_next_is_served() {
    let Some(compiled) = go() else { return };
    let pool = pool_of(compiled, spec());
    let error = ask(&pool, "accident", &[1.0]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
    assert!(error.message().contains("contract/collector.go:"), "{error}");
    assert_eq!(values(&ask(&pool, "pass", &[1.0]).await.unwrap()), [1.0]);
}
