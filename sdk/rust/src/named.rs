//! Tensors under their names: what comes in with a request, and what comes back from a call.

use crate::{Error, Tensor, bindings::nereid::plugin::tensors::Named};

/// Wraps the host's list. Each tensor remembers its name for error texts.
pub(crate) fn from_host(named: Vec<Named>) -> Vec<(String, Tensor)> {
    named.into_iter().map(|named| (named.name.clone(), Tensor::named(named.data, named.name))).collect()
}

/// The host's list again.
pub(crate) fn into_host(tensors: Vec<(String, Tensor)>) -> Vec<Named> {
    tensors.into_iter().map(|(name, tensor)| Named { name, data: tensor.into_handle() }).collect()
}

/// The tensor called `name`.
pub(crate) fn find<'a>(tensors: &'a [(String, Tensor)], name: &str) -> Option<&'a Tensor> {
    tensors.iter().find(|(candidate, _)| candidate == name).map(|(_, tensor)| tensor)
}

/// Removes the tensor called `name`.
pub(crate) fn take(tensors: &mut Vec<(String, Tensor)>, name: &str) -> Option<Tensor> {
    let position = tensors.iter().position(|(candidate, _)| candidate == name)?;
    Some(tensors.swap_remove(position).1)
}

/// The error for a tensor that is not there: `input 'X' is missing; there are: 'A', 'B'`.
pub(crate) fn missing(error: fn(String) -> Error, kind: &str, name: &str, tensors: &[(String, Tensor)]) -> Error {
    let present: Vec<String> = tensors.iter().map(|(name, _)| format!("'{name}'")).collect();
    let present = if present.is_empty() { "none".to_owned() } else { present.join(", ") };
    error(format!("{kind} '{name}' is missing; there are: {present}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tensor_is_named() {
        let error = missing(Error::invalid_argument, "input", "X", &[]);
        assert_eq!(error.message(), "input 'X' is missing; there are: none");
    }
}
