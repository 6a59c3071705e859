//! Iterative sequences: a client's request is a sequence of its own, executed step by step until the backend answers it.
//!
//! Between two steps the request waits like any other, so that requests at different steps, old and new, share batches.
//! Its id is made here unless the client gave one, and its END is its last answer, whatever the client said. Costs: a
//! model that is not iterative pays one branch per request.

use std::sync::atomic::{AtomicU64, Ordering};

use nereid_inference::{CheckedRequest, InferError, SequenceFlags, SequenceId};
use nereid_tensor::DataType;

/// Executions of one request. A decoder makes thousands; a model that never says that it is done must not run for ever.
pub const ITERATIVE_STEPS_MAX: u64 = 1 << 20;

/// Ids made here begin with this: clients who give their own hardly meet it, it is positive as an `INT64`, and the low bits,
/// of which narrower types are made, count from 0.
const FIRST_ID: u64 = 1 << 62;

/// Makes ids for requests that come without.
#[derive(Debug, Default)]
pub(crate) struct SequenceIds(AtomicU64);

// === impl SequenceIds ===

impl SequenceIds {
    /// Makes a client's request the first of a sequence, or of what its client calls one.
    pub(crate) fn begin(&self, request: &mut CheckedRequest, correlation: Option<DataType>) {
        let given = request.get().sequence.clone().filter(|flags| flags.id != SequenceId::Number(0));
        let flags = match given {
            Some(flags) => SequenceFlags { end: false, ..flags },
            None => SequenceFlags { id: self.next(correlation), start: true, end: false },
        };
        request.set_sequence(flags);
    }

    fn next(&self, correlation: Option<DataType>) -> SequenceId {
        let number = FIRST_ID + self.0.fetch_add(1, Ordering::Relaxed);
        match correlation {
            Some(DataType::Bytes) => SequenceId::Text(number.to_string()),
            _ => SequenceId::Number(number),
        }
    }
}

/// The request as it is executed next: neither the first of its sequence any more nor the last, and told nothing yet.
pub(crate) fn go_on(request: &mut CheckedRequest) {
    request.detach();
    if let Some(flags) = request.get().sequence.clone() {
        request.set_sequence(SequenceFlags { start: false, end: false, ..flags });
    }
}

/// What a request is answered whose model may not hand it back, in Triton's words.
pub(crate) fn not_iterative() -> InferError {
    InferError::invalid_argument(
        "Request is released with TRITONSERVER_REQUEST_RELEASE_RESCHEDULE, while the model is not configured to handle \
         such a flag.",
    )
}

/// What a request is answered that was executed too often.
pub(crate) fn too_many_steps(model_name: &str) -> InferError {
    InferError::internal(format!(
        "model '{model_name}' asked for another execution of the same request after {ITERATIVE_STEPS_MAX}, which is as \
         many as a request may have"
    ))
}

#[cfg(test)]
mod tests {
    use nereid_inference::{InferRequest, Signature};

    use super::*;

    fn check(given: Option<SequenceFlags>, correlation: Option<DataType>, expected: &SequenceFlags) {
        let request = InferRequest { sequence: given, ..InferRequest::new(vec![]) };
        let mut request = Signature::default().check(request).unwrap();
        SequenceIds::default().begin(&mut request, correlation);
        assert_eq!(request.get().sequence.as_ref(), Some(expected));
        go_on(&mut request);
        let gone_on = SequenceFlags { start: false, ..expected.clone() };
        assert_eq!(request.get().sequence.as_ref(), Some(&gone_on));
    }

    #[test]
    fn a_request_without_an_id_begins_a_sequence_and_one_with_an_id_keeps_it() {
        let flags = |id, start, end| SequenceFlags { id, start, end };
        let number = SequenceId::Number(FIRST_ID);
        check(None, Some(DataType::Int64), &flags(number.clone(), true, false));
        check(Some(flags(SequenceId::Number(0), false, true)), None, &flags(number, true, false));
        check(None, Some(DataType::Bytes), &flags(SequenceId::Text(FIRST_ID.to_string()), true, false));
        let own = SequenceId::Text("own".to_owned());
        check(Some(flags(own.clone(), true, true)), None, &flags(own.clone(), true, false));
        check(Some(flags(own.clone(), false, true)), None, &flags(own, false, false));
    }
}
