//! Refusals in words: who, what it needs and how that is known, what is in use, the budget, and what to do.

use nereid_inference::{InferError, ModelIdentity};

use crate::{
    ledger::{Basis, Reason, Refusal},
    size::Size,
};

/// The kind says what can help. A load that would fit an empty server is `ResourceExhausted`, and lacks room that others can
/// make, or that is there once the library of its backend has come. One that never fits is an invalid argument. A request is `Unavailable`, as one that meets a full queue: clients try
/// again.
pub(crate) fn error(model: &ModelIdentity, prefix: &str, refusal: &Refusal) -> InferError {
    let (wanted, budget) = (Size(refusal.wanted_bytes), Size(refusal.budget_bytes));
    let fits_alone = refusal.wanted_bytes <= refusal.budget_bytes;
    let model = format!("model '{}' version {}", model.name, model.version);
    match (refusal.reason, fits_alone) {
        (Reason::Request, _) => InferError::unavailable(format!(
            "{prefix}Exceeds the memory budget: this request to {model} takes {wanted}, and of the budget of {budget} \
             (--memory-budget) are in use: {}; try again when other requests are answered",
            in_use(refusal)
        )),
        (_, false) if refusal.basis == Basis::FirstOfRuntime => InferError::resource_exhausted(format!(
            "{model} {}, which is more than the whole memory budget of {budget} (--memory-budget); the next load takes \
             less: load it again, give it fewer instances, or raise the budget",
            need(refusal)
        ))
        .lacking_room(),
        (_, false) => InferError::invalid_argument(format!(
            "{model} {}, which is more than the whole memory budget of {budget} (--memory-budget); give it fewer \
             instances, or raise the budget",
            need(refusal)
        )),
        (_, true) => InferError::resource_exhausted(format!(
            "{model} {}, and of the memory budget of {budget} (--memory-budget) are in use: {}; unload a model, use fewer \
             instances, or raise the budget",
            need(refusal),
            in_use(refusal)
        ))
        .lacking_room(),
    }
}

fn need(refusal: &Refusal) -> String {
    let wanted = Size(refusal.wanted_bytes);
    match (refusal.reason, refusal.basis) {
        (Reason::Instances, _) => format!("needs {wanted} for more instances"),
        (_, Basis::Files) => format!("needs {wanted}, the size of its files"),
        (_, Basis::LastLoad) => format!("needs {wanted}, as its last load has shown"),
        (_, Basis::ThisLoad) => format!("took {wanted} when it was loaded"),
        (_, Basis::FirstOfRuntime) => {
            format!("took {wanted} when it was loaded, with what its backend keeps from its first model on")
        }
    }
}

fn in_use(refusal: &Refusal) -> String {
    let usage = refusal.usage;
    let mut text = format!("models {}", Size(usage.models));
    let largest: Vec<String> =
        refusal.largest.iter().map(|(model, bytes)| format!("{model} {}", Size(*bytes))).collect();
    if !largest.is_empty() {
        text.push_str(&format!(" (largest: {})", largest.join(", ")));
    }
    text.push_str(&format!(", loads under way {}, requests {}", Size(usage.loading), Size(usage.in_flight)));
    text
}
