//! A request on its way into a model: what its trace is told. Nothing happens to one that is not traced.

use std::time::Instant;

use nereid_inference::{Activity, CheckedRequest, ModelIdentity, ResponseSender, TensorActivity};

/// Tells the request's trace that the request has arrived here, and gives back the sender, which will show it the outputs.
pub(crate) fn trace(request: &CheckedRequest, model: &ModelIdentity, sender: ResponseSender) -> ResponseSender {
    let request = request.get();
    let Some(trace) = &request.trace else { return sender };
    trace.enter(model, &request.id);
    trace.event(Activity::RequestStart, Instant::now());
    for input in &request.inputs {
        trace.tensor(TensorActivity::QueueInput, &input.name, &input.tensor);
    }
    sender.traced(Some(trace.clone()))
}
