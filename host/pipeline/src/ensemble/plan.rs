//! The graph of an ensemble, validated: who makes which tensor, who takes it, and that both agree.
//!
//! Every mistake names the ensemble, the step, the tensor, and both sides of a disagreement.

use std::{collections::BTreeMap, sync::Arc};

use nereid_inference::{
    InferError, ModelConfig, ServedModel, Signature, TensorSpec,
    config::{ConfigDataType, EnsembleStep},
};
use nereid_tensor::DataType;

use super::regions;

/// The region of the request's own tensors.
pub(super) const REQUEST_REGION: usize = 0;

/// A graph that can be run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) inputs: Vec<(Arc<str>, usize)>,
    pub(super) outputs: Vec<(Arc<str>, usize)>,
    pub(super) steps: Vec<Step>,
    /// The region of each tensor, by its number.
    pub(super) tensor_regions: Vec<usize>,
    /// Regions are numbered from [`REQUEST_REGION`] to this; each but the first has the decoupled step that opens it.
    pub(super) region_count: usize,
}

/// One call of a member. The names are the member's, the numbers the ensemble's tensors.
#[derive(Debug)]
pub(super) struct Step {
    /// With its namespace, where it has one.
    pub(super) model: String,
    pub(super) version: Option<u64>,
    pub(super) inputs: Vec<(Arc<str>, usize)>,
    pub(super) outputs: Vec<(Arc<str>, usize)>,
    pub(super) is_decoupled: bool,
    /// Where it takes its inputs.
    pub(super) region: usize,
    /// The region that each of its responses opens a branch of, when it is decoupled.
    pub(super) opens: Option<usize>,
}

/// Gives the model of a name and a version, `None` being the highest that is ready.
pub(super) type FindMember<'a> = dyn Fn(&str, Option<u64>) -> Result<Member, InferError> + 'a;

/// Gives the configuration of a model by its name.
pub(super) type FindConfig<'a> = dyn Fn(&str) -> Option<ModelConfig> + 'a;

/// Ensembles inside ensembles that are looked into before they are loaded; a cycle of them is found elsewhere.
const NESTING_MAX: u32 = 8;

/// What the graph needs to know of a model that a step calls.
pub(crate) struct Member {
    signature: Signature,
    is_decoupled: bool,
}

/// What is known of the ensemble's tensors while the graph is read.
struct Draft<'a> {
    ensemble: &'a str,
    tensors: BTreeMap<String, DraftTensor>,
}

struct DraftTensor {
    index: usize,
    /// Who said it first, for messages.
    said_by: String,
    data_type: DataType,
    /// With the batch dimension.
    dims: Vec<i64>,
    made_by: Option<String>,
    taken: bool,
}

/// What one side says about a tensor.
struct Claim<'a> {
    tensor: &'a str,
    said_by: &'a str,
    spec: &'a TensorSpec,
    batched: bool,
}

// === impl Member ===

impl Member {
    /// A model that is ready.
    pub(crate) fn of_model(model: &dyn ServedModel) -> Self {
        Self { signature: model.signature().clone(), is_decoupled: model.config().is_decoupled() }
    }

    /// A model that is only configured yet; `peers` gives the configurations of others.
    ///
    /// # Errors
    /// Its configuration is not complete.
    pub(crate) fn of_config(config: &ModelConfig, peers: &FindConfig<'_>) -> Result<Self, InferError> {
        let is_decoupled = will_be_decoupled(config, peers, NESTING_MAX);
        Ok(Self { signature: Signature::from_config(config)?, is_decoupled })
    }
}

// === impl Plan ===

impl Plan {
    /// Reads the graph and checks it against the members, which `find_member` gives by name and version.
    ///
    /// # Errors
    /// The first mistake found.
    pub(super) fn build(
        config: &ModelConfig,
        signature: &Signature,
        find_member: &FindMember<'_>,
    ) -> Result<Self, InferError> {
        let steps = config.ensemble().map(|ensemble| ensemble.steps.as_slice()).unwrap_or_default();
        if steps.is_empty() {
            return Err(invalid(format!("must specify 'step' for ensemble '{}'", config.name)));
        }
        let mut draft = Draft { ensemble: &config.name, tensors: BTreeMap::new() };
        let batched = signature.max_batch_size > 0;
        for spec in &signature.inputs {
            let claim = Claim { tensor: &spec.name, said_by: "the ensemble's input", spec, batched };
            draft.make(&claim)?;
        }
        let mut members = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            let member = find_member(&step.qualified_name(), version(step))
                .map_err(|error| error.prefixed(&format!("in ensemble '{}', step {index}: ", config.name)))?;
            draft.check_member(step, &member, signature.max_batch_size)?;
            members.push(member);
        }
        let mut planned = Vec::new();
        for (index, (step, member)) in steps.iter().zip(&members).enumerate() {
            planned.push(draft.outputs_of(index, step, member)?);
        }
        for (index, (step, member)) in steps.iter().zip(&members).enumerate() {
            let inputs = draft.inputs_of(index, step, &member.signature)?;
            if let Some(planned) = planned.get_mut(index) {
                planned.inputs = inputs;
            }
        }
        let outputs = draft.ensemble_outputs(signature)?;
        draft.check_inputs_are_taken(signature)?;
        let inputs = signature.inputs.iter().filter_map(|spec| Some((spec.name.clone(), draft.index(&spec.name)?)));
        let tensor_regions = vec![REQUEST_REGION; draft.tensors.len()];
        let mut plan = Self {
            inputs: inputs.collect(),
            outputs,
            steps: planned,
            tensor_regions,
            region_count: REQUEST_REGION + 1,
        };
        plan.check_acyclic(&config.name)?;
        regions::assign(&mut plan, &config.name)?;
        Ok(plan)
    }

    /// Whether a request may have any number of responses: some step is decoupled.
    pub(super) fn is_decoupled(&self) -> bool {
        self.region_count > REQUEST_REGION + 1
    }

    /// Which steps the outputs that `wants` accepts depend on.
    pub(super) fn needed_steps(&self, wants: impl Fn(&str) -> bool) -> Vec<bool> {
        let mut needed = vec![false; self.steps.len()];
        let mut tensors: Vec<usize> =
            self.outputs.iter().filter(|(name, _)| wants(name)).map(|(_, tensor)| *tensor).collect();
        while let Some(tensor) = tensors.pop() {
            let makes = |step: &Step| step.outputs.iter().any(|(_, made)| *made == tensor);
            let Some(index) = self.steps.iter().position(makes) else { continue };
            if let (Some(needed), Some(step)) = (needed.get_mut(index), self.steps.get(index))
                && !std::mem::replace(needed, true)
            {
                tensors.extend(step.inputs.iter().map(|(_, tensor)| *tensor));
            }
        }
        needed
    }

    fn check_acyclic(&self, ensemble: &str) -> Result<(), InferError> {
        let mut there = vec![false; self.tensor_regions.len()];
        mark(&mut there, &self.inputs);
        let mut left: Vec<&Step> = self.steps.iter().collect();
        loop {
            let is_there = |(_, tensor): &(Arc<str>, usize)| there.get(*tensor) == Some(&true);
            let (ready, blocked): (Vec<&Step>, Vec<&Step>) =
                left.iter().copied().partition(|step| step.inputs.iter().all(is_there));
            if ready.is_empty() {
                break;
            }
            for step in ready {
                mark(&mut there, &step.outputs);
            }
            left = blocked;
        }
        if left.is_empty() {
            return Ok(());
        }
        let models: Vec<String> = left.iter().map(|step| format!("'{}'", step.model)).collect();
        Err(invalid(format!(
            "in ensemble '{ensemble}', the steps of models {} wait for each other's outputs: the graph has a cycle",
            models.join(", ")
        )))
    }
}

// === impl Draft ===

impl Draft<'_> {
    fn check_member(&self, step: &EnsembleStep, member: &Member, batch_max: u64) -> Result<(), InferError> {
        let (ensemble, name) = (self.ensemble, &step.model_name);
        let member_max = member.signature.max_batch_size;
        if member_max < batch_max {
            return Err(invalid(format!(
                "ensemble '{ensemble}' allows maximum batch size {batch_max}, but it contains model '{name}' which only \
                 allows maximum batch size to be {member_max}"
            )));
        }
        Ok(())
    }

    fn outputs_of(&mut self, index: usize, step: &EnsembleStep, member: &Member) -> Result<Step, InferError> {
        let (is_decoupled, member) = (member.is_decoupled, &member.signature);
        let said_by = format!("step {index} (model '{}')", step.model_name);
        let mut outputs = Vec::new();
        for (model_tensor, tensor) in &step.output_map {
            let spec = member
                .output(model_tensor)
                .ok_or_else(|| self.no_such_tensor(&said_by, "output", model_tensor, &member.outputs))?;
            let claim = Claim { tensor, said_by: &said_by, spec, batched: member.max_batch_size > 0 };
            outputs.push((spec.name.clone(), self.make(&claim)?));
        }
        if outputs.is_empty() {
            return Err(invalid(format!("in ensemble '{}', {said_by} must map at least one output", self.ensemble)));
        }
        let (model, version) = (step.qualified_name(), version(step));
        Ok(Step { model, version, inputs: vec![], outputs, is_decoupled, region: REQUEST_REGION, opens: None })
    }

    fn inputs_of(
        &mut self,
        index: usize,
        step: &EnsembleStep,
        member: &Signature,
    ) -> Result<Vec<(Arc<str>, usize)>, InferError> {
        let said_by = format!("step {index} (model '{}')", step.model_name);
        let mut inputs = Vec::new();
        for (model_tensor, tensor) in &step.input_map {
            let spec = member
                .input(model_tensor)
                .ok_or_else(|| self.no_such_tensor(&said_by, "input", model_tensor, &member.inputs))?;
            let claim = Claim { tensor, said_by: &said_by, spec, batched: member.max_batch_size > 0 };
            inputs.push((spec.name.clone(), self.take(&claim)?));
        }
        let unmapped = member.inputs.iter().find(|spec| !spec.optional && !step.input_map.contains_key(&*spec.name));
        match unmapped {
            None => Ok(inputs),
            Some(spec) => Err(invalid(format!(
                "in ensemble '{}', {said_by} does not map the model's input '{}'",
                self.ensemble, spec.name
            ))),
        }
    }

    fn ensemble_outputs(&mut self, signature: &Signature) -> Result<Vec<(Arc<str>, usize)>, InferError> {
        let mut outputs = Vec::new();
        for spec in &signature.outputs {
            let batched = signature.max_batch_size > 0;
            let claim = Claim { tensor: &spec.name, said_by: "the ensemble's output", spec, batched };
            outputs.push((spec.name.clone(), self.take(&claim)?));
        }
        Ok(outputs)
    }

    fn check_inputs_are_taken(&self, signature: &Signature) -> Result<(), InferError> {
        let taken = |name: &str| self.tensors.get(name).is_some_and(|tensor| tensor.taken);
        match signature.inputs.iter().find(|spec| !taken(&spec.name)) {
            None => Ok(()),
            Some(spec) => {
                Err(invalid(format!("in ensemble '{}', no step takes the input '{}'", self.ensemble, spec.name)))
            }
        }
    }

    fn index(&self, tensor: &str) -> Option<usize> {
        self.tensors.get(tensor).map(|tensor| tensor.index)
    }

    /// Somebody makes the tensor; nobody else may.
    fn make(&mut self, claim: &Claim<'_>) -> Result<usize, InferError> {
        if let Some(maker) = self.tensors.get(claim.tensor).and_then(|tensor| tensor.made_by.as_ref()) {
            return Err(invalid(format!(
                "in ensemble '{}', tensor '{}' is made twice: by {maker} and by {}",
                self.ensemble, claim.tensor, claim.said_by
            )));
        }
        let index = self.tensors.len();
        let tensor = DraftTensor {
            index,
            said_by: claim.said_by.to_owned(),
            data_type: claim.spec.data_type,
            dims: claim.spec.wire_dims(claim.batched),
            made_by: Some(claim.said_by.to_owned()),
            taken: false,
        };
        self.tensors.insert(claim.tensor.to_owned(), tensor);
        Ok(index)
    }

    /// Somebody takes the tensor; whoever makes it must agree about type and shape.
    fn take(&mut self, claim: &Claim<'_>) -> Result<usize, InferError> {
        let ensemble = self.ensemble;
        let Some(tensor) = self.tensors.get_mut(claim.tensor) else {
            let known: Vec<String> = self.tensors.keys().map(|name| format!("'{name}'")).collect();
            return Err(invalid(format!(
                "in ensemble '{ensemble}', {} takes tensor '{}', which no step makes; there are {}",
                claim.said_by,
                claim.tensor,
                known.join(", ")
            )));
        };
        tensor.taken = true;
        if tensor.data_type != claim.spec.data_type {
            let (made, taken) = (config_name(tensor.data_type), config_name(claim.spec.data_type));
            return Err(invalid(format!(
                "in ensemble '{ensemble}', tensor '{}' has inconsistent data type: {made} from {} and {taken} from {}",
                claim.tensor, tensor.said_by, claim.said_by
            )));
        }
        let dims = claim.spec.wire_dims(claim.batched);
        if !dims_agree(&tensor.dims, &dims) {
            return Err(invalid(format!(
                "in ensemble '{ensemble}', tensor '{}' has inconsistent shape: {:?} from {} and {dims:?} from {} (the \
                 batch dimension is the leading -1 of models with max_batch_size above 0)",
                claim.tensor, tensor.dims, tensor.said_by, claim.said_by
            )));
        }
        Ok(tensor.index)
    }

    fn no_such_tensor(&self, said_by: &str, kind: &str, name: &str, specs: &[TensorSpec]) -> InferError {
        let known: Vec<String> = specs.iter().map(|spec| format!("'{}'", spec.name)).collect();
        invalid(format!(
            "in ensemble '{}', {said_by} has no {kind} '{name}'; its {kind}s are {}",
            self.ensemble,
            known.join(", ")
        ))
    }
}

/// Whether a model will be decoupled once it is loaded: an ensemble is when one of its members is.
fn will_be_decoupled(config: &ModelConfig, peers: &FindConfig<'_>, nesting_max: u32) -> bool {
    let Some(ensemble) = config.ensemble() else { return config.is_decoupled() };
    let mut members = ensemble.steps.iter().filter_map(|step| peers(&step.qualified_name()));
    nesting_max > 0 && members.any(|member| will_be_decoupled(&member, peers, nesting_max - 1))
}

fn mark(there: &mut [bool], tensors: &[(Arc<str>, usize)]) {
    for (_, tensor) in tensors {
        if let Some(there) = there.get_mut(*tensor) {
            *there = true;
        }
    }
}

/// -1 on either side is any extent.
fn dims_agree(one: &[i64], other: &[i64]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one == other || *one == -1 || *other == -1)
}

fn version(step: &EnsembleStep) -> Option<u64> {
    u64::try_from(step.model_version).ok().filter(|version| *version > 0)
}

fn config_name(data_type: DataType) -> &'static str {
    ConfigDataType::from(data_type).config_name()
}

fn invalid(text: String) -> InferError {
    InferError::invalid_argument(text)
}
