//! What a guest answered, checked against its model's signature.
//!
//! A plugin is not trusted: names, types, shapes and bytes are checked here and nowhere after. What does not fit is an internal
//! error of the plugin, told to the client with both sides.

use nereid_inference::{InferError, InferResponse, NamedTensor, TensorSpec};
use nereid_tensor::Tensor;

use crate::plugin::PluginSpec;

/// Checks the outputs of a request of `rows` rows and puts them into the order of the signature, without those that nobody
/// `wants`.
///
/// # Errors
/// `Internal`, or `ResourceExhausted` for too many bytes; the text names plugin, model and output.
pub(crate) fn check(
    spec: &PluginSpec,
    rows: u64,
    wants: impl Fn(&str) -> bool,
    mut response: InferResponse,
) -> Result<InferResponse, InferError> {
    check_outputs(spec, rows, &response.outputs)?;
    let missing = spec
        .signature
        .outputs
        .iter()
        .find(|declared| wants(&declared.name) && response.output(&declared.name).is_none());
    if let Some(missing) = missing {
        let found: Vec<&str> = response.outputs.iter().map(|output| &*output.name).collect();
        let text = format!("did not return output '{}'; it returned [{}]", missing.name, found.join(", "));
        return Err(unfit(spec, text));
    }
    response.outputs.retain(|output| wants(&output.name));
    let position = |output: &NamedTensor| spec.signature.outputs.iter().position(|spec| spec.name == output.name);
    if !response.outputs.is_sorted_by_key(position) {
        response.outputs.sort_by_key(position);
    }
    Ok(response)
}

/// Checks what is there, whoever wants it.
///
/// # Errors
/// As of [`check`].
pub(crate) fn check_outputs(spec: &PluginSpec, rows: u64, outputs: &[NamedTensor]) -> Result<(), InferError> {
    check_bytes(spec, outputs)?;
    for (index, output) in outputs.iter().enumerate() {
        let Some(declared) = spec.signature.output(&output.name) else {
            return Err(unfit(spec, format!("returned an output '{}' that the model does not have", output.name)));
        };
        if outputs.iter().take(index).any(|earlier| earlier.name == output.name) {
            return Err(unfit(spec, format!("returned output '{}' twice", output.name)));
        }
        check_tensor(spec, declared, rows, &output.tensor)?;
    }
    Ok(())
}

fn check_bytes(spec: &PluginSpec, outputs: &[NamedTensor]) -> Result<(), InferError> {
    let total: u64 = outputs.iter().map(|output| output.tensor.byte_size() as u64).sum();
    let limit = spec.limits.output_bytes_max;
    if total <= limit {
        return Ok(());
    }
    let subject = spec.subject();
    let text = format!("{subject} returned {total} bytes of outputs, the limit is {limit} (output_mib)");
    Err(InferError::resource_exhausted(text))
}

fn check_tensor(spec: &PluginSpec, declared: &TensorSpec, rows: u64, found: &Tensor) -> Result<(), InferError> {
    let name = &declared.name;
    if found.data_type() != declared.data_type {
        let (expected, found) = (declared.data_type, found.data_type());
        return Err(unfit(spec, format!("returned output '{name}' of type {found}, expected {expected}")));
    }
    let rows = (spec.signature.max_batch_size > 0).then_some(rows);
    if declared.accepts_batched(found.shape(), rows) {
        return Ok(());
    }
    let expected: Vec<String> =
        rows.map(|rows| rows.to_string()).into_iter().chain(declared.dims.iter().map(ToString::to_string)).collect();
    let text = format!("returned output '{name}' of shape {}, expected [{}]", found.shape(), expected.join(","));
    Err(unfit(spec, text))
}

fn unfit(spec: &PluginSpec, what: String) -> InferError {
    InferError::internal(format!("{} {what}", spec.subject()))
}

#[cfg(test)]
mod tests;
