//! One list for all languages: `tests/guests/contract` in each of them is asked the same and must answer the same.
//!
//! `cargo xtask guests` builds the components. One that is missing is reported and left out, and fails where
//! NEREID_REQUIRE_GUESTS is set, as in CI. Machine code is kept in `target/plugin-cache`, because that of an interpreter takes
//! the compiler half a minute.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use nereid_inference::{
    ErrorKind, InferError, InferRequest, InferResponse, NamedTensor, ParameterValue, ResponseSender,
};
use nereid_plugin::PluginSpec;
use nereid_tensor::{DataType, Tensor};
use support::{
    Server,
    languages::{ask, asking, numbers, plugins, pool_of as pool, run, signature_of},
    spec, values,
};

/// Three elements of each type, none of which is easy.
fn samples() -> Vec<Tensor> {
    let raw = |data_type, bytes: &[u8]| {
        let size = DataType::size_bytes(data_type).unwrap();
        Tensor::new(data_type, [(bytes.len() / size) as u64].into(), bytes.to_vec().into()).unwrap()
    };
    vec![
        raw(DataType::Bool, &[1, 0, 1]),
        Tensor::from_elements([3], &[0_u8, 128, 255]).unwrap(),
        Tensor::from_elements([3], &[0_u16, 256, u16::MAX]).unwrap(),
        Tensor::from_elements([3], &[0_u32, 1 << 31, u32::MAX]).unwrap(),
        Tensor::from_elements([3], &[0_u64, (1 << 53) + 1, u64::MAX]).unwrap(),
        Tensor::from_elements([3], &[0_i8, -128, 127]).unwrap(),
        Tensor::from_elements([3], &[-1_i16, i16::MIN, i16::MAX]).unwrap(),
        Tensor::from_elements([3], &[-1_i32, i32::MIN, i32::MAX]).unwrap(),
        Tensor::from_elements([3], &[-1_i64, i64::MIN, (1 << 53) + 1]).unwrap(),
        // 1.0, the smallest there is, minus infinity.
        raw(DataType::Fp16, &[0x00, 0x3c, 0x01, 0x00, 0x00, 0xfc]),
        raw(DataType::Bf16, &[0x80, 0x3f, 0x01, 0x00, 0x80, 0xff]),
        Tensor::from_elements([3], &[0.1_f32, f32::MIN_POSITIVE, f32::NEG_INFINITY]).unwrap(),
        Tensor::from_elements([3], &[0.1_f64, f64::MIN_POSITIVE, f64::INFINITY]).unwrap(),
        Tensor::from_byte_strings([3], &[b"\0\xff".as_slice(), b"", "grün".as_bytes()]).unwrap(),
    ]
}

#[tokio::test]
async fn every_data_type_survives_being_read_and_made_again() {
    for (language, compiled) in plugins() {
        for sample in samples() {
            let data_type = sample.data_type();
            let pool = pool(compiled, PluginSpec { signature: signature_of(data_type), ..spec() });
            for mode in ["identity", "bytes"] {
                let response = run(&pool, data_type, asking(mode, sample.clone())).await.unwrap();
                let (found, expected) = (response.output("X").unwrap(), &sample);
                let context = format!("{} {mode} {data_type}", language.name);
                assert_eq!(found.data_type(), data_type, "{context}");
                assert_eq!(found.shape(), expected.shape(), "{context}");
                assert_eq!(found.buffer().as_slice(), expected.buffer().as_slice(), "{context}");
            }
        }
    }
}

#[tokio::test]
async fn a_tensor_that_is_passed_on_is_not_copied() {
    for (language, compiled) in plugins() {
        let input = numbers(&[1.0, 2.0]);
        let response = run(&pool(compiled, spec()), DataType::Fp32, asking("pass", input.clone())).await.unwrap();
        let output = response.output("X").unwrap();
        assert_eq!(output.buffer().as_slice().as_ptr(), input.buffer().as_slice().as_ptr(), "{}", language.name);
    }
}

#[tokio::test]
async fn a_transform_uses_the_settings_of_its_model() {
    let parameters = [("scale", "2.5"), ("bias", "-1")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    for (language, compiled) in plugins() {
        let pool = pool(compiled, PluginSpec { parameters: BTreeMap::from(parameters.clone()), ..spec() });
        let response = ask(&pool, "transform", &[2.0, 4.0, 0.0]).await.unwrap();
        assert_eq!(values(&response), [4.0, 9.0, -1.0], "{}", language.name);
    }
}

#[tokio::test]
async fn a_large_tensor_is_read_and_made_in_pieces() {
    let large: Vec<f32> = (0..700_000_u32).map(|number| number as f32).collect();
    for (language, compiled) in plugins() {
        let response = ask(&pool(compiled, spec()), "bytes", &large).await.unwrap();
        assert!(values(&response) == large, "{}", language.name);
    }
}

#[tokio::test]
async fn parts_of_a_tensor_are_written_and_cut_out() {
    for (language, compiled) in plugins() {
        let response = ask(&pool(compiled, spec()), "write", &[0.0]).await.unwrap();
        assert_eq!(values(&response), [1.5, 2.5], "{}", language.name);
    }
}

/// Two models that answer only when both were asked: `left` with the double, `right` with the square.
fn two_models(server: &Server) {
    let waiting: Arc<Mutex<Vec<(InferRequest, ResponseSender, bool)>>> = Arc::default();
    for (name, squares) in [("left", false), ("right", true)] {
        let waiting = waiting.clone();
        server.serve(name, move |request, sender| {
            let mut waiting = waiting.lock().unwrap();
            waiting.push((request, sender, squares));
            if waiting.len() == 2 {
                for (request, sender, squares) in waiting.drain(..) {
                    let input = request.inputs[0].tensor.elements::<f32>().unwrap().to_vec();
                    let answer: Vec<f32> =
                        input.iter().map(|value| if squares { value * value } else { value * 2.0 }).collect();
                    sender.respond(Ok(InferResponse::new(vec![NamedTensor::new("X", numbers(&answer))])));
                }
            }
        });
    }
}

#[tokio::test]
async fn two_models_are_called_at_the_same_time() {
    for (language, compiled) in plugins() {
        let (server, service) = Server::start();
        two_models(&server);
        let pool = pool(compiled, PluginSpec { service, ..spec() });
        let response = ask(&pool, "bls", &[3.0, 4.0]).await.unwrap();
        assert_eq!(values(&response), [15.0, 24.0], "{}", language.name);
        let first = response.parameters.get("first").cloned();
        assert!(matches!(first, Some(ParameterValue::Int(0 | 1))), "{}: {first:?}", language.name);
    }
}

#[tokio::test]
async fn a_call_carries_its_wanted_outputs_and_parameters() {
    for (language, compiled) in plugins() {
        let (server, service) = Server::start();
        server.serve("left", |request, sender| {
            assert_eq!(request.requested_outputs.iter().map(|name| &**name).collect::<Vec<_>>(), ["X"]);
            assert_eq!(request.parameters.get("depth"), Some(&ParameterValue::Int(1)));
            sender.respond(Ok(InferResponse::new(request.inputs)));
        });
        let pool = pool(compiled, PluginSpec { service, ..spec() });
        assert_eq!(values(&ask(&pool, "call", &[7.0]).await.unwrap()), [7.0], "{}", language.name);
    }
}

#[tokio::test]
async fn errors_of_called_models_keep_their_kind() {
    for (language, compiled) in plugins() {
        let (server, service) = Server::start();
        server.serve("left", |_, sender| sender.respond(Err(InferError::unavailable("out of order"))));
        let pool = pool(compiled, PluginSpec { service, ..spec() });
        let error = ask(&pool, "call", &[7.0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}: {error}", language.name);
        assert!(error.message().contains("out of order"), "{}: {error}", language.name);
    }
}

#[tokio::test]
async fn an_error_is_the_answer_to_its_request_alone() {
    for (language, compiled) in plugins() {
        let pool = pool(compiled, spec());
        let error = ask(&pool, "refuse", &[1.0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{}: {error}", language.name);
        assert!(error.message().ends_with("this request is refused"), "{}: {error}", language.name);
        let error = ask(&pool, "no such mode", &[1.0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{}: {error}", language.name);
        assert_eq!(values(&ask(&pool, "pass", &[1.0]).await.unwrap()), [1.0], "{}", language.name);
    }
}

#[tokio::test]
async fn parameters_of_every_kind_go_in_and_out() {
    let kinds = [
        ("flag", ParameterValue::Bool(true)),
        ("count", ParameterValue::Int(-3)),
        ("large", ParameterValue::Uint(1 << 63)),
        ("share", ParameterValue::Double(0.25)),
        ("text", ParameterValue::String("grün \"x\"".to_owned())),
    ];
    for (language, compiled) in plugins() {
        let mut request = asking("parameters", numbers(&[1.0]));
        kinds.iter().for_each(|(name, value)| {
            request.parameters.insert(*name, value.clone());
        });
        let response = run(&pool(compiled, spec()), DataType::Fp32, request).await.unwrap();
        for (name, value) in &kinds {
            assert_eq!(response.parameters.get(name), Some(value), "{} {name}", language.name);
        }
    }
}

#[tokio::test]
async fn a_plugin_knows_its_model() {
    for (language, compiled) in plugins() {
        let response = ask(&pool(compiled, spec()), "model", &[1.0]).await.unwrap();
        let text = |text: &str| Some(ParameterValue::String(text.to_owned()));
        assert_eq!(response.parameters.get("name").cloned(), text("m"), "{}", language.name);
        assert_eq!(response.parameters.get("version"), Some(&ParameterValue::Int(1)), "{}", language.name);
        assert_eq!(response.parameters.get("input").cloned(), text("X"), "{}", language.name);
    }
}

#[tokio::test]
async fn an_accident_is_told_with_its_place_and_costs_one_request() {
    for (language, compiled) in plugins() {
        let pool = pool(compiled, spec());
        let error = ask(&pool, "trap", &[1.0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{}: {error}", language.name);
        for expected in [language.words, language.place] {
            assert!(error.message().contains(expected), "{}: expected {expected:?} in {error}", language.name);
        }
        assert_eq!(values(&ask(&pool, "pass", &[1.0]).await.unwrap()), [1.0], "{}", language.name);
    }
}

#[tokio::test]
async fn a_plugin_notices_that_its_client_left() {
    for (language, compiled) in plugins() {
        let pool = pool(compiled, spec());
        let request = signature_of(DataType::Fp32).check(asking("cancelled", numbers(&[1.0]))).unwrap();
        let polls = AtomicUsize::new(0);
        let error = pool.run(&request, || polls.fetch_add(1, Ordering::Relaxed) > 1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{}: {error}", language.name);
        assert!(error.message().ends_with("noticed that the client left"), "{}: {error}", language.name);
    }
}
