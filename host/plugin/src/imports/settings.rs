//! `settings`: the plugin's own model, as configured.

use nereid_inference::TensorSpec;

use crate::{
    bindings::nereid::plugin::settings::{Host, ModelInfo, TensorInfo},
    convert,
    state::PluginState,
};

impl Host for PluginState {
    fn model(&mut self) -> wasmtime::Result<ModelInfo> {
        self.enter("settings.model")?;
        let (identity, signature) = (&self.spec.model, &self.spec.signature);
        Ok(ModelInfo {
            name: identity.name.to_string(),
            version: identity.version,
            max_batch_size: u32::try_from(signature.max_batch_size).unwrap_or(u32::MAX),
            inputs: signature.inputs.iter().map(tensor_info).collect(),
            outputs: signature.outputs.iter().map(tensor_info).collect(),
            decoupled: self.spec.decoupled,
        })
    }

    fn instance_name(&mut self) -> wasmtime::Result<String> {
        self.enter("settings.instance-name")?;
        Ok(self.instance.to_string())
    }

    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        self.enter("settings.get")?;
        Ok(self.spec.parameters.get(&key).cloned())
    }

    fn entries(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        self.enter("settings.entries")?;
        Ok(self.spec.parameters.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

fn tensor_info(spec: &TensorSpec) -> TensorInfo {
    TensorInfo {
        name: spec.name.to_string(),
        dtype: convert::dtype(spec.data_type),
        dims: spec.dims.clone(),
        optional: spec.optional,
    }
}
