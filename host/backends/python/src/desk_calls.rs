//! Calls of other models, through the service that clients use.
//!
//! Refused: calls that come back to a model that waits already, and chains beyond the limit. Whatever goes wrong with the
//! other model is a response with an error, which the caller reads; nothing is raised. A stream is read when the model asks
//! for its next response, so that one that does not read holds the other model up, and nothing else.

use std::{iter, sync::Arc, time::Duration};

use nereid_inference::{CallChain, Delivery, InferError, InferRequest, InferResponse, ResponseStream};
use nereid_tensor::Buffer;
use serde_json::{Value, json};

use crate::{
    desk::Desk,
    messages::{self, InferCall, ParameterRow, Reply},
    payload::{self, Outgoing},
};

// === impl Desk ===

impl Desk {
    /// Calls a model, and answers with its response, or with the number of its stream.
    pub(crate) async fn infer(&self, asked: InferCall, payload: Buffer) {
        let (call, is_stream) = (asked.call, asked.decoupled);
        match self.start_call(asked, &payload) {
            Ok(stream) if is_stream => {
                let number = self.next_stream_number();
                self.streams.lock().insert(number, Some(stream));
                self.reply(Reply { call, stream: Some(number), ..Reply::default() }, Outgoing::default());
            }
            Ok(stream) => self.answer_with(call, stream.single().await, None),
            Err(error) => self.answer_with(call, Err(error), None),
        }
    }

    /// The next response of a stream.
    pub(crate) async fn next(&self, call: u64, number: u64) {
        let taken = self.streams.lock().get_mut(&number).and_then(Option::take);
        let Some(mut stream) = taken else {
            let error = InferError::invalid_argument("the responses were all read, or cancelled");
            return self.answer_with(call, Err(error), Some(true));
        };
        let delivery = stream.next().await;
        let is_last = delivery.as_ref().is_none_or(|delivery| delivery.last);
        let response = match delivery {
            Some(Delivery { response: Some(response), .. }) => response,
            // Announced by an empty response, as Triton does.
            _ => Ok(InferResponse::default()),
        };
        let mut streams = self.streams.lock();
        match streams.get_mut(&number) {
            Some(place) if !is_last => *place = Some(stream),
            // Cancelled meanwhile, or read to the end.
            _ => drop(streams.remove(&number)),
        }
        drop(streams);
        self.answer_with(call, response, Some(is_last));
    }

    fn answer_with(&self, call: u64, response: Result<InferResponse, InferError>, last: Option<bool>) {
        let mut outgoing = Outgoing::default();
        let row = match &response {
            Ok(response) => row_of(response, &mut outgoing),
            Err(error) => json!({ "e": [messages::code_of(error), error.message()] }),
        };
        self.reply(Reply { call, response: Some(row), last, ..Reply::default() }, outgoing);
    }

    fn start_call(&self, asked: InferCall, payload: &Buffer) -> Result<ResponseStream, InferError> {
        let model = &*self.model;
        let inputs = payload::tensors(asked.inputs, payload)
            .map_err(|error| InferError::invalid_argument(format!("calling model '{}': {error}", asked.model)))?;
        let waiting = self.slots.all_notes();
        let served = waiting.first();
        let chains = waiting.iter().map(|notes| notes.callers.clone());
        let callers = self.extend_chain(chains, &asked.model)?;
        let traced = (asked.trace != 0).then(|| self.slots.notes(asked.trace)).flatten();
        let request = InferRequest {
            id: asked.rid,
            requested_outputs: asked.want.iter().map(|name| name.as_str().into()).collect(),
            parameters: messages::parameters(asked.p),
            priority: served.map_or(0, |notes| notes.priority),
            timeout: (asked.timeout > 0).then(|| Duration::from_micros(asked.timeout)),
            sequence: asked.corr.sequence(asked.flags),
            callers: Some(callers),
            tenant: served.and_then(|notes| notes.tenant.clone()),
            trace: traced.and_then(|notes| notes.trace.as_ref().map(|trace| trace.child())),
            ..InferRequest::new(inputs)
        };
        let version = u64::try_from(asked.version).ok();
        Ok(model.service.get()?.model(&asked.model, version)?.infer(request))
    }

    /// The chain of those who wait, this model included: the calls of a batch come from all of its requests.
    fn extend_chain(
        &self,
        chains: impl Iterator<Item = Option<Arc<CallChain>>>,
        called: &str,
    ) -> Result<Arc<CallChain>, InferError> {
        let name = &self.model.identity.name;
        let mut chains = chains.map(|caller| CallChain::extend(caller, name.clone()));
        let first = chains.next().unwrap_or_else(|| CallChain::extend(None, name.clone()));
        let limit = self.model.limits.depth;
        for chain in iter::once(first.clone()).chain(chains) {
            if chain.includes(called) {
                return Err(InferError::resource_exhausted(format!(
                    "model '{called}' cannot be called, because it waits for this call itself: {chain} -> {called}"
                )));
            }
            if chain.depth as usize >= limit {
                return Err(InferError::resource_exhausted(format!(
                    "a chain of {limit} models is the longest allowed (python-call-depth): {chain} -> {called}"
                )));
            }
        }
        Ok(first)
    }
}

fn row_of(response: &InferResponse, outgoing: &mut Outgoing) -> Value {
    let outputs: Vec<_> = response.outputs.iter().map(|output| outgoing.add(&output.name, &output.tensor)).collect();
    let mut row = json!({ "o": outputs });
    if !response.parameters.is_empty()
        && let (Some(row), Ok(parameters)) =
            (row.as_object_mut(), serde_json::to_value(ParameterRow(&response.parameters)))
    {
        row.insert("p".to_owned(), parameters);
    }
    row
}
