//! The generations of one model that may still get requests, and the door that requests of its versions go through.
//!
//! Promises: a sequence goes on in the generation in which it began, for as long as that holds it, whoever serves by then; a
//! request that begins something goes to the generation that was looked up. Costs, for a model whose generations have something
//! to say: one more call; and for the later requests of a sequence one atomic load, and a look at the generations that left while
//! sequences were open in them.

use std::sync::{Arc, Weak};

use nereid_inference::{
    DecisionLog, Generation, InferError, InferRequest, ModelConfig, ModelIdentity, ModelStatistics, ResponseStream,
    SequenceId, ServedModel, Signature,
};
use nereid_sync::{ArcSwap, Mutex};

use crate::book::Retired;

/// Shared by all generations of a model.
pub(crate) struct Line {
    /// For the doors.
    me: Weak<Self>,
    state: ArcSwap<State>,
    /// Held by whoever makes another state.
    changing: Mutex<()>,
}

#[derive(Clone, Default)]
struct State {
    serving: Vec<Arc<dyn ServedModel>>,
    /// Those that left with open sequences, oldest first.
    elders: Vec<Arc<dyn ServedModel>>,
}

/// What the route leads to.
struct Door {
    own: Arc<dyn ServedModel>,
    line: Arc<Line>,
}

// === impl Line ===

impl Line {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            state: ArcSwap::new(Arc::new(State::default())),
            changing: Mutex::default(),
        })
    }

    /// The way to a generation: itself, when there is nothing to keep apart.
    pub(crate) fn door(&self, own: &Arc<dyn ServedModel>) -> Arc<dyn ServedModel> {
        match (own.generation(), self.me.upgrade()) {
            (Some(_), Some(line)) => Arc::new(Door { own: own.clone(), line }),
            _ => own.clone(),
        }
    }

    /// These serve now, and those that left go on with their sequences. Hands out what may have been the last reference.
    #[must_use]
    pub(crate) fn turn_over(&self, serving: Vec<Arc<dyn ServedModel>>, left: &[Arc<dyn ServedModel>]) -> Retired {
        self.change(|state| {
            let elders = state.elders.iter().chain(left).filter(|model| !contains(&serving, model));
            State { elders: elders.filter(|elder| has_open_sequence(elder)).cloned().collect(), serving }
        })
    }

    /// Nobody serves any more, and sequences are over.
    #[must_use]
    pub(crate) fn clear(&self) -> Retired {
        self.change(|_| State::default())
    }

    /// Lets those go whose sequences are over.
    #[must_use]
    pub(crate) fn settle(&self) -> Retired {
        if !self.has_elders() {
            return Retired::new();
        }
        self.change(|state| State {
            elders: state.elders.iter().filter(|elder| has_open_sequence(elder)).cloned().collect(),
            ..state.clone()
        })
    }

    /// Whether requests may still come to it.
    pub(crate) fn refers_to(&self, model: &Arc<dyn ServedModel>) -> bool {
        let state = self.state.load();
        contains(&state.serving, model) || contains(&state.elders, model)
    }

    pub(crate) fn has_elders(&self) -> bool {
        !self.state.load().elders.is_empty()
    }

    /// The generation that goes on with the sequence; `own` when nobody knows it.
    fn holder(&self, own: &Arc<dyn ServedModel>, id: &SequenceId) -> Arc<dyn ServedModel> {
        let state = self.state.load();
        if state.elders.is_empty() || holds(own, id) {
            return own.clone();
        }
        state.elders.iter().rev().find(|elder| holds(elder, id)).unwrap_or(own).clone()
    }

    /// A sequence has begun in a generation that was looked up before it left: it is kept for the rest of the sequence.
    fn note_start(&self, own: &Arc<dyn ServedModel>) {
        let state = self.state.load();
        if contains(&state.serving, own) || contains(&state.elders, own) {
            return;
        }
        drop(self.change(|state| {
            let mut state = state.clone();
            let is_new = !contains(&state.serving, own) && !contains(&state.elders, own);
            state.elders.extend(Some(own.clone()).filter(|own| is_new && has_open_sequence(own)));
            state
        }));
    }

    fn change(&self, next: impl FnOnce(&State) -> State) -> Retired {
        let _changing = self.changing.lock();
        let before = self.state.load();
        let handed_out = before.serving.iter().chain(&before.elders).cloned().collect();
        let next = Arc::new(next(&before));
        drop(before);
        drop(self.state.swap(next));
        handed_out
    }
}

fn contains(models: &[Arc<dyn ServedModel>], wanted: &Arc<dyn ServedModel>) -> bool {
    models.iter().any(|model| Arc::ptr_eq(model, wanted))
}

fn holds(model: &Arc<dyn ServedModel>, id: &SequenceId) -> bool {
    model.generation().is_some_and(|generation| generation.has_open_sequence(Some(id)))
}

fn has_open_sequence(model: &Arc<dyn ServedModel>) -> bool {
    model.generation().is_some_and(|generation| generation.has_open_sequence(None))
}

// === impl Door ===

impl ServedModel for Door {
    fn identity(&self) -> &ModelIdentity {
        self.own.identity()
    }

    fn config(&self) -> &ModelConfig {
        self.own.config()
    }

    fn signature(&self) -> &Signature {
        self.own.signature()
    }

    fn labels(&self, output: &str) -> &[Arc<str>] {
        self.own.labels(output)
    }

    fn infer(&self, request: InferRequest) -> ResponseStream {
        match &request.sequence {
            None => self.own.infer(request),
            Some(flags) if flags.start => {
                let stream = self.own.infer(request);
                self.line.note_start(&self.own);
                stream
            }
            Some(flags) => self.line.holder(&self.own, &flags.id).infer(request),
        }
    }

    fn readiness(&self) -> Result<(), InferError> {
        self.own.readiness()
    }

    fn retire(&self) {
        self.own.retire();
    }

    fn statistics(&self) -> ModelStatistics {
        self.own.statistics()
    }

    fn decisions(&self) -> DecisionLog {
        self.own.decisions()
    }

    fn fingerprint(&self) -> Option<[u8; 32]> {
        self.own.fingerprint()
    }

    fn generation(&self) -> Option<&dyn Generation> {
        self.own.generation()
    }

    fn reconfigured(&self, config: &ModelConfig) -> Result<Option<Arc<dyn ServedModel>>, InferError> {
        self.own.reconfigured(config)
    }
}
