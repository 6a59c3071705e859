//! What a plugin knows of its model's configuration.
//!
//! A fresh guest is asked, which is neither initialised nor used again. What it says is taken as it is: whoever asks compares it with
//! what is written, and with what a configuration can be.

use std::sync::Arc;

use nereid_inference::InferError;
use nereid_tensor::DataType;

use crate::{
    bindings::exports::nereid::plugin::completion as host,
    convert,
    plugin::Plugin,
    sandbox::{Sandbox, block_on},
};

/// A configuration, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigDraft {
    /// 0 where nothing is said of it, or where tensors have no batch dimension.
    pub max_batch_size: u32,
    pub inputs: Vec<TensorDraft>,
    pub outputs: Vec<TensorDraft>,
    /// Whether requests are put together to batches; `false` says nothing.
    pub dynamic_batching: bool,
    /// Whether a request may get any number of responses.
    pub decoupled: Option<bool>,
}

/// An input or an output, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TensorDraft {
    pub name: String,
    pub data_type: Option<DataType>,
    /// Without the batch dimension.
    pub dims: Option<Vec<i64>>,
    pub optional: bool,
}

/// What the plugin makes of what is written; `None` when it has nothing to say of configurations. Blocks.
///
/// # Errors
/// The plugin's own, or what became of its guest.
pub fn ask_for_completion(plugin: &Arc<Plugin>, written: &ConfigDraft) -> Result<Option<ConfigDraft>, InferError> {
    let instance = Arc::from(plugin.spec.model.name.as_ref());
    let written = written.to_host();
    let completed = block_on(Sandbox::complete(plugin, &instance, &written)).map_err(|failure| failure.error)?;
    Ok(completed.map(ConfigDraft::from_host))
}

// === impl ConfigDraft ===

impl ConfigDraft {
    fn to_host(&self) -> host::Draft {
        host::Draft {
            max_batch_size: self.max_batch_size,
            inputs: self.inputs.iter().map(TensorDraft::to_host).collect(),
            outputs: self.outputs.iter().map(TensorDraft::to_host).collect(),
            dynamic_batching: self.dynamic_batching,
            decoupled: self.decoupled,
        }
    }

    fn from_host(draft: host::Draft) -> Self {
        Self {
            max_batch_size: draft.max_batch_size,
            inputs: draft.inputs.into_iter().map(TensorDraft::from_host).collect(),
            outputs: draft.outputs.into_iter().map(TensorDraft::from_host).collect(),
            dynamic_batching: draft.dynamic_batching,
            decoupled: draft.decoupled,
        }
    }
}

// === impl TensorDraft ===

impl TensorDraft {
    fn to_host(&self) -> host::TensorDraft {
        host::TensorDraft {
            name: self.name.clone(),
            dtype: self.data_type.map(convert::dtype),
            dims: self.dims.clone(),
            optional: self.optional,
        }
    }

    fn from_host(draft: host::TensorDraft) -> Self {
        Self {
            name: draft.name,
            data_type: draft.dtype.map(convert::data_type),
            dims: draft.dims,
            optional: draft.optional,
        }
    }
}
