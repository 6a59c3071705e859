//! Which outputs a client wants, and in which form: as JSON, as binary, as classes, or in its own memory.

use std::{num::NonZeroU64, sync::Arc};

use nereid_inference::{InferError, InferResponse, ServedModel, SharedTensors, Signature};
use smallvec::SmallVec;

use super::{
    request::RequestContext,
    scalar::{Object, Scalar, missing},
    shared_memory::{REGION_PARAMETER, RegionSpan},
    wire::OutputHeader,
};
use crate::classification::{CLASSIFICATION_PARAMETER, ClassCounts};

/// Which outputs are answered, and how.
#[derive(Clone, Debug, Default)]
pub struct OutputFormats {
    /// What holds when no outputs are listed.
    pub(crate) all_binary: bool,
    listed: SmallVec<[ListedOutput; 2]>,
    classes: ClassCounts,
}

/// How an output goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputForm {
    Json,
    Binary,
    /// In the client's memory; the response has its type and shape alone.
    Shared,
}

/// One output that the client listed.
#[derive(Clone, Debug)]
struct ListedOutput {
    name: Arc<str>,
    form: OutputForm,
}

/// What the parameters of one output ask for.
enum Wanted<'a> {
    Plain { is_binary: bool, classes: Option<NonZeroU64> },
    Shared(RegionSpan<'a>),
}

// === impl OutputFormats ===

impl OutputFormats {
    /// The response with the classes of those outputs for which the client asked for them.
    ///
    /// # Errors
    /// See [`ClassCounts::apply`].
    pub fn classify(&self, response: InferResponse, model: &dyn ServedModel) -> Result<InferResponse, InferError> {
        self.classes.apply(response, model)
    }

    /// Every output, in binary.
    pub(super) fn all_binary() -> Self {
        Self { all_binary: true, ..Self::default() }
    }

    /// The names of the listed outputs.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.listed.iter().map(|output| output.name.clone()).collect()
    }

    /// How the output called `name` goes out; `None` when it was not asked for.
    ///
    /// A listed output does not fall back to the request's `binary_data_output`: this is Triton's rule.
    pub(crate) fn form(&self, name: &str) -> Option<OutputForm> {
        if self.listed.is_empty() {
            return Some(if self.all_binary { OutputForm::Binary } else { OutputForm::Json });
        }
        self.listed.iter().find(|output| &*output.name == name).map(|output| output.form)
    }

    /// Bytes of the tensors that are rewritten on their way out: as JSON or as classes. What goes out as it is does not
    /// count.
    pub fn rewritten_bytes(&self, response: &InferResponse) -> usize {
        let rewritten = response
            .outputs
            .iter()
            .filter(|output| self.form(&output.name) == Some(OutputForm::Json) || self.classes.contains(&output.name));
        rewritten.map(|output| output.tensor.byte_size()).sum()
    }

    /// Reads the list of a request; what is wanted in the client's memory is added to `shared`.
    pub(super) fn list(
        &mut self,
        headers: Vec<OutputHeader<'_>>,
        context: &RequestContext<'_>,
        shared: &mut SharedTensors,
    ) -> Result<(), InferError> {
        let specs = &context.signature.outputs;
        let mut seen: SmallVec<[bool; 8]> = SmallVec::from_elem(false, specs.len());
        for header in headers {
            let name = header.name.as_ref().ok_or_else(|| missing("name"))?.text("name")?;
            let name = claim(name, context.signature, &mut seen)?;
            let form = match wanted(header.parameters.as_ref())? {
                Wanted::Shared(span) => {
                    shared.add_output(name.clone(), span.find(context.regions)?);
                    OutputForm::Shared
                }
                Wanted::Plain { is_binary, classes } => {
                    if let Some(count) = classes {
                        self.classes.insert(name.clone(), count);
                    }
                    if is_binary { OutputForm::Binary } else { OutputForm::Json }
                }
            };
            self.listed.push(ListedOutput { name, form });
        }
        Ok(())
    }
}

/// The name as the signature's own, where it knows it; such a name may come once.
fn claim(name: &str, signature: &Signature, seen: &mut [bool]) -> Result<Arc<str>, InferError> {
    let Some(position) = signature.outputs.iter().position(|spec| &*spec.name == name) else { return Ok(name.into()) };
    if seen.get_mut(position).is_some_and(|seen| std::mem::replace(seen, true)) {
        return Err(InferError::invalid_argument(format!("output '{name}' already exists in request")));
    }
    Ok(signature.outputs.get(position).map_or_else(|| name.into(), |spec| spec.name.clone()))
}

fn wanted<'p>(parameters: Option<&'p Object<'_>>) -> Result<Wanted<'p>, InferError> {
    let parameter = |name: &str| parameters.and_then(|parameters| parameters.get(name));
    let is_binary = parameter("binary_data").map_or(Ok(false), |value| value.boolean("binary_data"));
    if let Some(region) = parameter(REGION_PARAMETER) {
        let conflict = |other: &str| {
            let text = format!("Output can't set both 'shared_memory_region' and '{other}'");
            Err(InferError::invalid_argument(text))
        };
        if parameter(CLASSIFICATION_PARAMETER).is_some() {
            return conflict(CLASSIFICATION_PARAMETER);
        }
        if is_binary? {
            return conflict("binary_data");
        }
        return Ok(Wanted::Shared(RegionSpan::parse(region, parameters)?));
    }
    // Over HTTP, unlike over gRPC, Triton takes 0 for "the output itself".
    let classes = match parameter(CLASSIFICATION_PARAMETER) {
        Some(Scalar::Uint(count)) => NonZeroU64::new(*count),
        Some(_) => {
            let text =
                "Unable to set 'classification': attempt to access JSON non-unsigned-integer as unsigned-integer";
            return Err(InferError::internal(text));
        }
        None => None,
    };
    Ok(Wanted::Plain { is_binary: is_binary?, classes })
}
