//! Where a graph branches: each response of a decoupled step opens a branch of its own, in which the steps after it run.
//!
//! Steps and tensors that belong to the same branches are a region; the request's own is 0. A step takes tensors of one
//! region: nobody could say which response of one decoupled model belongs to which of another.

use std::sync::Arc;

use nereid_inference::InferError;

use super::plan::{Plan, REQUEST_REGION};

/// Gives every step and tensor of an acyclic plan its region.
///
/// # Errors
/// A step takes tensors of different regions.
pub(super) fn assign(plan: &mut Plan, ensemble: &str) -> Result<(), InferError> {
    let mut regions: Vec<Option<usize>> = vec![None; plan.tensor_regions.len()];
    give(&mut regions, &plan.inputs, REQUEST_REGION);
    let mut left: Vec<usize> = (0..plan.steps.len()).collect();
    while !left.is_empty() {
        let before = left.len();
        for index in std::mem::take(&mut left) {
            let Some(step) = plan.steps.get_mut(index) else { continue };
            let inputs = step.inputs.iter().map(|(_, tensor)| regions.get(*tensor).copied().flatten());
            let Some(inputs) = inputs.collect::<Option<Vec<usize>>>() else {
                left.push(index);
                continue;
            };
            let region = inputs.first().copied().unwrap_or(REQUEST_REGION);
            if inputs.iter().any(|input| *input != region) {
                return Err(InferError::invalid_argument(format!(
                    "in ensemble {ensemble}, step of model '{}' receives inputs originated from different decoupled models",
                    step.model
                )));
            }
            step.region = region;
            if step.is_decoupled {
                step.opens = Some(plan.region_count);
                plan.region_count += 1;
            }
            give(&mut regions, &step.outputs, step.opens.unwrap_or(region));
        }
        if left.len() == before {
            break;
        }
    }
    plan.tensor_regions = regions.into_iter().map(|region| region.unwrap_or(REQUEST_REGION)).collect();
    Ok(())
}

fn give(regions: &mut [Option<usize>], tensors: &[(Arc<str>, usize)], region: usize) {
    for (_, tensor) in tensors {
        if let Some(slot) = regions.get_mut(*tensor) {
            *slot = Some(region);
        }
    }
}
