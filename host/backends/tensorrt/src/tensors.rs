//! What an engine declares, and the configuration beside it: filled in from it, and compared with it.

use std::ffi::CString;

use nereid_inference::{
    ModelConfig,
    config::{ConfigDataType, DynamicBatching, ModelInput, ModelOutput, Scheduling},
};
use nereid_tensor::DataType;

use crate::profiles::{Extents, Profile, Shown};

/// One input or output of an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EngineTensor {
    pub(crate) name: CString,
    /// Where it stands among all tensors of the engine.
    pub(crate) index: usize,
    /// `None` for what the protocol cannot carry: FP8, INT4, …
    pub(crate) data_type: Option<DataType>,
    /// With the batch dimension; -1 is any extent.
    pub(crate) dims: Extents,
    /// Its values are shapes, read on the host.
    pub(crate) is_shape: bool,
    /// Elements in the order of the dimensions.
    pub(crate) is_linear: bool,
}

/// All of them, and the shapes that the engine was built for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) inputs: Vec<EngineTensor>,
    pub(crate) outputs: Vec<EngineTensor>,
    pub(crate) profiles: Vec<Profile>,
}

/// A tensor as the configuration has it, as far as the engine has an opinion.
struct Written<'a> {
    role: &'static str,
    name: &'a str,
    data_type: ConfigDataType,
    dims: &'a [i64],
}

/// The configuration with everything filled in that the engine tells. An engine whose tensors all have an open first
/// dimension batches, as far as its first profile allows.
pub(crate) fn complete(config: &ModelConfig, declared: &Declared) -> ModelConfig {
    let mut completed = config.clone();
    let says_dims = config.inputs.iter().any(|input| !input.dims.is_empty());
    if completed.max_batch_size == 0 && !says_dims && declared.can_batch() {
        let largest = declared.profiles.first().and_then(Profile::largest_batch);
        completed.max_batch_size = largest.and_then(|largest| i32::try_from(largest).ok()).unwrap_or_default();
        if completed.max_batch_size > 1 {
            completed.scheduling.get_or_insert_with(|| Scheduling::Dynamic(DynamicBatching::default()));
        }
    }
    let skip = usize::from(completed.has_batching());
    let sequences = completed.sequences().cloned();
    for tensor in &declared.inputs {
        if sequences.as_ref().is_some_and(|sequences| sequences.gives_input(&tensor.text())) {
            continue;
        }
        let place = completed.inputs.iter().position(|input| input.name == tensor.text()).unwrap_or_else(|| {
            completed.inputs.push(ModelInput { name: tensor.text(), ..ModelInput::default() });
            completed.inputs.len() - 1
        });
        let Some(input) = completed.inputs.get_mut(place) else { continue };
        tensor.fill(&mut input.data_type, &mut input.dims, skip);
    }
    if completed.outputs.is_empty() {
        let kept =
            |tensor: &&EngineTensor| sequences.as_ref().is_some_and(|sequences| sequences.keeps_output(&tensor.text()));
        let served = declared.outputs.iter().filter(|tensor| !kept(tensor));
        completed.outputs =
            served.map(|tensor| ModelOutput { name: tensor.text(), ..ModelOutput::default() }).collect();
    }
    for output in &mut completed.outputs {
        let Some(tensor) = declared.outputs.iter().find(|tensor| tensor.text() == output.name) else { continue };
        tensor.fill(&mut output.data_type, &mut output.dims, skip);
    }
    completed
}

/// Whether configuration and engine speak of the same tensors.
///
/// # Errors
/// The first contradiction, with both sides.
pub(crate) fn check(config: &ModelConfig, declared: &Declared) -> Result<(), String> {
    declared.inputs.iter().chain(&declared.outputs).try_for_each(EngineTensor::refuse_unserved)?;
    for input in &config.inputs {
        let dims = input.backend_dims();
        let written = Written { role: "input", name: &input.name, data_type: input.data_type, dims };
        written.check(config, &declared.inputs)?;
    }
    for output in &config.outputs {
        let dims = output.backend_dims();
        let written = Written { role: "output", name: &output.name, data_type: output.data_type, dims };
        written.check(config, &declared.outputs)?;
    }
    let sequences = config.sequences();
    let is_given = |name: &str| {
        config.inputs.iter().any(|input| input.name == name)
            || sequences.is_some_and(|sequences| sequences.gives_input(name))
    };
    match declared.inputs.iter().find(|tensor| !is_given(&tensor.text())) {
        Some(missing) => Err(format!("{} is missing from the configuration", missing.shown("input"))),
        None => Ok(()),
    }
}

// === impl Declared ===

impl Declared {
    fn can_batch(&self) -> bool {
        let mut tensors = self.inputs.iter().chain(&self.outputs);
        tensors.all(|tensor| tensor.dims.first() == Some(&-1)) && !self.inputs.is_empty()
    }
}

// === impl EngineTensor ===

impl EngineTensor {
    pub(crate) fn text(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }

    fn fill(&self, data_type: &mut ConfigDataType, dims: &mut Vec<i64>, skip: usize) {
        if let (ConfigDataType::Invalid, Some(declared)) = (*data_type, self.data_type) {
            *data_type = declared.into();
        }
        if dims.is_empty() {
            *dims = self.dims.get(skip..).unwrap_or_default().to_vec();
        }
    }

    fn refuse_unserved(&self) -> Result<(), String> {
        let name = self.text();
        match (self.data_type, self.is_shape, self.is_linear) {
            (None, ..) => Err(format!("tensor '{name}' of the engine has a type that cannot be served")),
            (_, true, _) => Err(format!("tensor '{name}' of the engine is a shape tensor, which is not served yet")),
            (.., false) => Err(format!(
                "tensor '{name}' of the engine does not have its elements one after the other; build it with linear formats"
            )),
            _ => Ok(()),
        }
    }

    fn shown(&self, role: &str) -> String {
        let data_type = self.data_type.map_or("of another type", |known| ConfigDataType::from(known).config_name());
        format!("{role} '{}' of the engine, {data_type} {},", self.text(), Shown(&self.dims))
    }
}

// === impl Written ===

impl Written<'_> {
    fn check(&self, config: &ModelConfig, tensors: &[EngineTensor]) -> Result<(), String> {
        let (role, name) = (self.role, self.name);
        let Some(tensor) = tensors.iter().find(|tensor| tensor.text() == name) else {
            let names: Vec<String> = tensors.iter().map(EngineTensor::text).collect();
            return Err(format!("the engine has no {role} '{name}'; its {role}s are {}", names.join(", ")));
        };
        let dims: Extents = config.has_batching().then_some(-1).into_iter().chain(self.dims.iter().copied()).collect();
        let agrees = |(written, declared): (&i64, &i64)| *declared == -1 || written == declared;
        let same_type = tensor.data_type.map(ConfigDataType::from) == Some(self.data_type);
        if same_type && dims.len() == tensor.dims.len() && dims.iter().zip(&tensor.dims).all(agrees) {
            return Ok(());
        }
        Err(format!(
            "{role} '{name}' is {} {} in the configuration (max_batch_size {}), but {}",
            self.data_type.config_name(),
            Shown(&dims),
            config.max_batch_size,
            tensor.shown(role).trim_end_matches(',')
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiles::Bounds;

    fn tensor(name: &str, dims: &[i64]) -> EngineTensor {
        let (name, data_type) = (CString::new(name).unwrap(), Some(DataType::Fp32));
        EngineTensor { name, data_type, dims: dims.to_vec(), is_linear: true, ..EngineTensor::default() }
    }

    fn declared() -> Declared {
        let bounds = Bounds { smallest: vec![1, 3], best: vec![4, 3], largest: vec![16, 3] };
        let profiles = vec![Profile { index: 0, bounds: vec![bounds] }];
        Declared { inputs: vec![tensor("x", &[-1, 3])], outputs: vec![tensor("y", &[-1, 5])], profiles }
    }

    fn named() -> ModelConfig {
        ModelConfig { name: "m".into(), ..ModelConfig::default() }
    }

    #[test]
    fn an_empty_configuration_is_filled_and_batches_as_the_profile_allows() {
        let config = complete(&named(), &declared());
        assert_eq!((config.max_batch_size, config.has_batching()), (16, true));
        assert!(matches!(config.scheduling, Some(Scheduling::Dynamic(_))));
        assert_eq!((&*config.inputs[0].dims, &*config.outputs[0].dims), ([3].as_slice(), [5].as_slice()));
        assert_eq!(config.inputs[0].data_type, DataType::Fp32.into());
        assert_eq!(check(&config, &declared()), Ok(()));
    }

    #[test]
    fn an_engine_of_one_batch_size_does_not_batch() {
        let mut fixed = declared();
        fixed.outputs[0].dims = vec![2, 5];
        let config = complete(&named(), &fixed);
        assert_eq!((config.max_batch_size, config.scheduling.is_none()), (0, true));
        assert_eq!((&*config.inputs[0].dims, &*config.outputs[0].dims), ([-1, 3].as_slice(), [2, 5].as_slice()));
        assert_eq!(check(&config, &fixed), Ok(()));
    }

    #[test]
    fn contradictions_show_both_sides() {
        let mut config = complete(&named(), &declared());
        config.inputs[0].dims = vec![4];
        assert_eq!(
            check(&config, &declared()).unwrap_err(),
            "input 'x' is TYPE_FP32 [-1,4] in the configuration (max_batch_size 16), but input 'x' of the engine, TYPE_FP32 \
             [-1,3]"
        );
        config.inputs[0].name = "z".into();
        assert_eq!(check(&config, &declared()).unwrap_err(), "the engine has no input 'z'; its inputs are x");
        config.inputs.clear();
        let text = check(&config, &declared()).unwrap_err();
        assert_eq!(text, "input 'x' of the engine, TYPE_FP32 [-1,3], is missing from the configuration");
    }

    #[test]
    fn what_is_not_served_is_refused_by_name() {
        let refusal = |change: fn(&mut EngineTensor)| {
            let mut declared = declared();
            change(&mut declared.inputs[0]);
            check(&complete(&named(), &declared), &declared).unwrap_err()
        };
        assert!(refusal(|tensor| tensor.is_shape = true).contains("'x' of the engine is a shape tensor"));
        assert!(refusal(|tensor| tensor.is_linear = false).contains("build it with linear formats"));
        assert!(refusal(|tensor| tensor.data_type = None).contains("a type that cannot be served"));
    }
}
