//! Metadata that becomes parameters of the requests that came with it.

use http::HeaderMap;
use nereid_inference::{InferError, Parameters};
use nereid_protocol::HeaderPattern;

/// What the transport itself writes; a client did not mean it for a model.
fn is_of_the_transport(name: &str) -> bool {
    name.starts_with("grpc-") || matches!(name, "te" | "content-type")
}

/// The parameters that `headers` amount to under the operator's pattern, if there is one.
///
/// # Errors
/// See [`HeaderPattern::forward`].
pub(crate) fn forwarded(pattern: Option<&HeaderPattern>, headers: &HeaderMap) -> Result<Parameters, InferError> {
    let mut parameters = Parameters::default();
    if let Some(pattern) = pattern {
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        pattern.forward(headers.filter(|(name, _)| !is_of_the_transport(name)), &mut parameters)?;
    }
    Ok(parameters)
}

/// Adds what was forwarded to a request's own parameters.
pub(crate) fn add(forwarded: &Parameters, parameters: &mut Parameters) {
    for (name, value) in forwarded.iter() {
        parameters.insert(name, value.clone());
    }
}
