//! A request on its way into a model: what its trace is told, and the form that the model sees. Nothing happens to one that is
//! not traced, and nothing where no tensor has a `reshape`.

use std::{sync::Arc, time::Instant};

use nereid_inference::{Activity, CheckedRequest, InferError, ModelIdentity, Reshapes, ResponseSender, TensorActivity};

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

/// Gives the request the form that the model sees, and its answers, on their way back, the form that clients do.
///
/// # Errors
/// See [`Reshapes::to_backend`].
pub(crate) fn reshape(
    reshapes: Option<&Arc<Reshapes>>,
    request: &mut CheckedRequest,
    sender: &mut ResponseSender,
) -> Result<(), InferError> {
    let Some(reshapes) = reshapes else { return Ok(()) };
    reshapes.to_backend(request)?;
    sender.reshape(reshapes.clone());
    Ok(())
}
