//! What is kept of requests, when, and for how long.

use nereid_inference::{Signature, config::Scheduling};
use nereid_tensor::Buffer;

use super::*;
use crate::test_service::{echo, tensor};

const BYTES_MAX: usize = 16;

fn config(requests: Option<&str>) -> ModelConfig {
    let parameters = requests.map(|requests| (REQUESTS.to_owned(), requests.to_owned())).into_iter().collect();
    ModelConfig { parameters, ..echo("m", -1) }
}

fn identity() -> ModelIdentity {
    ModelIdentity::new("m", 1)
}

fn keeper(shelf: &Arc<Shelf>, requests: &str) -> Keeper {
    Keeper::new(shelf.clone(), &config(Some(requests)), (false, BYTES_MAX)).unwrap().unwrap()
}

/// A request that arrives so many seconds after the shelf was made.
fn request(shelf: &Shelf, second: f64, inputs: Vec<NamedTensor>) -> CheckedRequest {
    let received = shelf.epoch + Duration::from_secs_f64(second);
    let request = InferRequest { id: "secret".to_owned(), received, ..InferRequest::new(inputs) };
    Signature::from_config(&config(None)).unwrap().check(request).unwrap()
}

fn answered(outcome: ResponseOutcome) -> ResponseRecord {
    let now = Instant::now();
    ResponseRecord { index: 0, outcome, started: Some(now), handed_over: now, ended: now }
}

/// Lets requests of these first values arrive, one a second, which all get such an answer.
fn serve(keeper: &Keeper, values: &[f32], outcome: ResponseOutcome) {
    for (second, value) in values.iter().enumerate() {
        let request = request(&keeper.shelf, second as f64, vec![tensor("X", &[*value, 0.0])]);
        if let Some(observer) = keeper.watch(&request, None) {
            observer.response_sent(&answered(outcome));
        }
    }
}

/// First values, newest first.
fn kept(shelf: &Shelf) -> Vec<f32> {
    shelf.requests().iter().map(|request| request.inputs[0].tensor.elements::<f32>().unwrap()[0]).collect()
}

#[test]
fn the_newest_that_fit_are_kept_and_only_those_that_were_answered() {
    let shelf = Shelves::default().of(&identity());
    serve(&keeper(&shelf, "1"), &[1.0, 2.0, 3.0], ResponseOutcome::Success);
    assert_eq!(kept(&shelf), [3.0]);
    serve(&keeper(&shelf, "1"), &[4.0, 5.0, 6.0, 7.0, 8.0], ResponseOutcome::Failure);
    assert_eq!(kept(&shelf), [3.0]);
    let shelf = Shelves::default().of(&identity());
    serve(&keeper(&shelf, "3"), &[1.0, 2.0, 3.0], ResponseOutcome::Success);
    assert_eq!(kept(&shelf), [3.0, 2.0], "two of 8 bytes are {BYTES_MAX}");
}

#[test]
fn one_a_second_is_looked_at_and_none_that_is_too_large() {
    let shelf = Shelves::default().of(&identity());
    let keeper = keeper(&shelf, "1");
    let is_watched = |second: f64, columns: usize| {
        keeper.watch(&request(&shelf, second, vec![tensor("X", &vec![0.0; columns])]), None).is_some()
    };
    assert!(is_watched(0.0, 2));
    assert!(!is_watched(0.5, 2) && !is_watched(0.999, 2));
    assert!(!is_watched(1.0, 5), "20 bytes");
    assert!(is_watched(2.5, 4));
}

#[test]
fn of_who_asked_nothing_is_kept_and_the_bytes_are_a_copy() {
    let shelf = Shelves::default().of(&identity());
    let request = request(&shelf, 0.0, vec![tensor("X", &[1.0])]);
    let address = |request: &InferRequest| request.inputs[0].tensor.buffer().as_slice().as_ptr();
    let sent = address(request.get());
    keeper(&shelf, "1").watch(&request, None).unwrap().response_sent(&answered(ResponseOutcome::Success));
    let kept = shelf.requests().remove(0);
    assert_eq!((kept.id.as_str(), kept.tenant.is_none(), kept.trace.is_none()), ("", true, true));
    assert_ne!(address(&kept), sent);
    assert!(!kept.inputs[0].tensor.buffer().is_external());
    let shared = NamedTensor::new("X", Tensor::new(nereid_tensor::DataType::Fp32, [1, 1].into(), external()).unwrap());
    assert!(!copied(&InferRequest::new(vec![shared])).unwrap().inputs[0].tensor.buffer().is_external());
}

fn external() -> Buffer {
    Buffer::external(vec![0; 4].into())
}

#[test]
fn whoever_else_watches_hears_of_every_response() {
    #[derive(Default)]
    struct Heard(Mutex<Vec<ResponseOutcome>>);
    impl ResponseObserver for Heard {
        fn response_sent(&self, response: &ResponseRecord) {
            self.0.lock().push(response.outcome);
        }
    }
    let shelf = Shelves::default().of(&identity());
    let heard = Arc::new(Heard::default());
    let observer = keeper(&shelf, "1").watch(&request(&shelf, 0.0, vec![tensor("X", &[1.0])]), Some(heard.clone()));
    let outcomes = [ResponseOutcome::Failure, ResponseOutcome::Success];
    outcomes.iter().for_each(|outcome| observer.as_ref().unwrap().response_sent(&answered(*outcome)));
    assert_eq!(*heard.0.lock(), outcomes);
    assert!(shelf.requests().is_empty(), "its first answer was an error");
}

#[test]
fn generations_share_a_shelf_that_goes_with_the_last_of_them() {
    let shelves = Shelves::default();
    let first = shelves.of(&identity());
    serve(&keeper(&first, "1"), &[1.0], ResponseOutcome::Success);
    let second = shelves.of(&ModelIdentity::new("m", 2));
    drop(first);
    assert_eq!(kept(&second), [1.0]);
    assert!(shelves.of(&ModelIdentity::new("other", 1)).requests().is_empty());
    shelves.forget(&identity());
    assert!(shelves.of(&identity()).requests().is_empty());
    drop(second);
    assert!(shelves.of(&identity()).requests().is_empty());
}

#[test]
fn the_parameter_decides_and_else_the_plugin() {
    let keeps = |config: &ModelConfig, by_default| {
        let shelf = Shelves::default().of(&identity());
        let keeper = Keeper::new(shelf, config, (by_default, BYTES_MAX));
        keeper.map(|keeper| keeper.map_or(0, |keeper| keeper.requests_max)).map_err(|error| error.to_string())
    };
    assert_eq!((keeps(&config(None), true), keeps(&config(None), false)), (Ok(1), Ok(0)));
    assert_eq!((keeps(&config(Some("0")), true), keeps(&config(Some("16")), false)), (Ok(0), Ok(16)));
    for text in ["17", "-1", "some"] {
        let expected = format!("parameter '{REQUESTS}' is '{text}', expected a whole number from 0 to 16");
        assert!(keeps(&config(Some(text)), true).unwrap_err().contains(&expected));
    }
    let of_sequences = |requests| ModelConfig {
        scheduling: Some(Scheduling::Sequence(nereid_inference::config::SequenceBatching::default())),
        ..config(requests)
    };
    assert_eq!(keeps(&of_sequences(None), true), Ok(0));
    assert!(
        keeps(&of_sequences(Some("1")), true).unwrap_err().contains("a request means nothing without those before it")
    );
}
