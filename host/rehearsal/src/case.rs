//! A case: requests in order, what is expected of each, and what the models answer that the plugin calls.

use std::collections::BTreeMap;

use nereid_inference::{InferError, InferRequest, InferResponse, ModelState};

/// Relative difference that numbers may have unless a case says otherwise; absolute below 1.
pub(crate) const TOLERANCE: f64 = 1e-5;

/// One case, made for one model.
#[derive(Clone, Debug)]
pub struct Case {
    /// The name of its file without its ending.
    pub name: String,
    pub(crate) steps: Vec<Step>,
    /// By the name of the model.
    pub(crate) models: BTreeMap<String, StandIn>,
    /// The repository that the plugin controls, by the name of the model; `None` when the case has none.
    pub(crate) control: Option<BTreeMap<String, Controlled>>,
    pub(crate) tolerance: f64,
}

/// A request and what is expected to come of it.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) request: InferRequest,
    pub(crate) expected: Expected,
}

/// What is expected of a request.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    /// Anything but an error.
    Success,
    /// These responses, no more and no fewer.
    Responses(Vec<InferResponse>),
    /// An error whose text holds this.
    Error(String),
}

/// What a called model answers.
#[derive(Clone, Debug)]
pub(crate) enum StandIn {
    /// The same every time.
    Always(Reply),
    /// One after the other; a further call is an error.
    InTurn(Vec<Reply>),
}

/// A model that the plugin loads and unloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Controlled {
    /// What it is in before anybody asks.
    State(ModelState),
    /// Whatever is asked of it fails with this text.
    Fails(String),
}

/// The answer to one call.
pub(crate) type Reply = Result<Vec<InferResponse>, InferError>;

// === impl Case ===

impl Case {
    /// A request by itself, of which nothing is expected but that it is answered.
    pub fn of_request(name: impl Into<String>, request: InferRequest) -> Self {
        let steps = vec![Step { request, expected: Expected::Success }];
        Self { name: name.into(), steps, models: BTreeMap::new(), control: None, tolerance: TOLERANCE }
    }
}
