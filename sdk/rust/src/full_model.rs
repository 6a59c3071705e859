//! How a type becomes a plugin with the whole life of a model: a [`Model`] that knows its configuration, says when it cannot work,
//! and has something to do before it goes.
//!
//! ```no_run
//! use nereid_sdk::{ConfigDraft, DataType, Error, FullModel, Model, Outcome, Request, Response, export_full_model};
//!
//! struct Echo;
//!
//! impl Model for Echo {
//!     fn new() -> Result<Self, Error> {
//!         Ok(Self)
//!     }
//!
//!     fn execute(&mut self, batch: Vec<Request>) -> Vec<Outcome> {
//!         let answer = |request: &Request| Ok(Response::new().output("Y", request.inputs()?.take("X")?));
//!         batch.iter().map(|request| answer(request).into()).collect()
//!     }
//! }
//!
//! impl FullModel for Echo {
//!     fn complete_config(draft: &mut ConfigDraft) -> Result<(), Error> {
//!         draft.input("X", DataType::Fp32, &[-1]);
//!         draft.output("Y", DataType::Fp32, &[-1]);
//!         draft.max_batch_size = 8;
//!         Ok(())
//!     }
//! }
//!
//! export_full_model!(Echo);
//! ```

use std::{cell::RefCell, thread::LocalKey};

use crate::{
    DataType, Error, Model,
    bindings::{completion::exports::nereid::plugin::completion as host, nereid::plugin::types},
    export::report_panics,
};

/// What a [`Model`] may do besides; everything has a default.
pub trait FullModel: Model {
    /// Says what the plugin knows of its configuration, so that `config.pbtxt` need not say it. The draft has what is written, which
    /// counts: a contradiction fails the load. Asked before there is a model; no other model and no server can be asked.
    ///
    /// # Errors
    /// The load fails with this text.
    fn complete_config(draft: &mut ConfigDraft) -> Result<(), Error> {
        let _ = draft;
        Ok(())
    }

    /// Says why the instance cannot do its work, if it cannot. Asked between two batches, when somebody wants to know whether the model
    /// is ready; must be quick (`readiness_ms`).
    ///
    /// # Errors
    /// The model is not ready, for this reason.
    fn is_ready(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// No further request is routed here: answers now what is kept back (`drain_ms`). [`Model::finalise`] follows when all requests
    /// have ended.
    fn drain(&mut self) {}
}

/// A configuration, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct ConfigDraft {
    /// The largest batch; 0 where nothing is said of it, or where tensors have no batch dimension.
    pub max_batch_size: u32,
    /// The inputs.
    pub inputs: Vec<TensorDraft>,
    /// The outputs.
    pub outputs: Vec<TensorDraft>,
    /// Whether the server puts requests together to batches; `false` says nothing.
    pub dynamic_batching: bool,
    /// Whether a request may get any number of responses; `None` where nothing is said of it.
    pub decoupled: Option<bool>,
}

/// An input or an output, as far as it is known.
#[derive(Clone, Debug)]
pub struct TensorDraft {
    /// The name.
    pub name: String,
    /// The type of the elements.
    pub data_type: Option<DataType>,
    /// The extent in each dimension, -1 for any, without the batch dimension.
    pub dims: Option<Vec<i64>>,
    /// Whether a request may leave it out.
    pub optional: bool,
}

/// Makes a type that implements [`FullModel`] the plugin that this crate builds. Once per crate, which must have
/// `crate-type = ["cdylib"]`.
#[macro_export]
macro_rules! export_full_model {
    ($plugin:ty) => {
        const _: () = {
            use $crate::bindings::{
                completion::exports::nereid::plugin::completion, full_model::exports::nereid::plugin as additional,
                model::exports::nereid::plugin as exported, nereid::plugin as host,
            };

            ::std::thread_local! {
                static INSTANCE: ::std::cell::RefCell<::std::option::Option<$plugin>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }

            struct Exported;

            impl exported::model::Guest for Exported {
                fn initialise() -> ::std::result::Result<(), host::types::Error> {
                    $crate::initialise_exported(&INSTANCE)
                }

                fn execute(batch: ::std::vec::Vec<host::serving::Request>) -> ::std::vec::Vec<exported::model::Outcome> {
                    $crate::execute_exported(&INSTANCE, batch)
                }

                fn finalise() {
                    $crate::finalise_exported(&INSTANCE);
                }
            }

            impl completion::Guest for Exported {
                fn complete(
                    written: completion::Draft,
                ) -> ::std::result::Result<completion::Draft, host::types::Error> {
                    $crate::complete_exported(written, <$plugin as $crate::FullModel>::complete_config)
                }
            }

            impl additional::readiness::Guest for Exported {
                fn check() -> ::std::result::Result<(), host::types::Error> {
                    $crate::is_ready_exported(&INSTANCE)
                }
            }

            impl additional::draining::Guest for Exported {
                fn drain() {
                    $crate::drain_exported(&INSTANCE);
                }
            }

    $crate::bindings::model::export_model_bindings!(Exported with_types_in $crate::bindings::model);
    $crate::bindings::completion::export_completion_bindings!(Exported with_types_in $crate::bindings::completion);
    $crate::bindings::full_model::export_full_model_bindings!(Exported with_types_in $crate::bindings::full_model);
        };
    };
}

/// What [`export_full_model!`] and its twin call before there is a model.
#[doc(hidden)]
pub fn complete_exported(
    written: host::Draft,
    complete: impl FnOnce(&mut ConfigDraft) -> Result<(), Error>,
) -> Result<host::Draft, types::Error> {
    report_panics();
    let mut draft = ConfigDraft::from(written);
    complete(&mut draft)?;
    Ok(draft.into())
}

/// What [`export_full_model!`] calls between batches.
#[doc(hidden)]
pub fn is_ready_exported<T: FullModel>(slot: &'static LocalKey<RefCell<Option<T>>>) -> Result<(), types::Error> {
    Ok(slot.with_borrow_mut(|model| model.as_mut().map_or(Ok(()), FullModel::is_ready))?)
}

/// What [`export_full_model!`] calls before the last call.
#[doc(hidden)]
pub fn drain_exported<T: FullModel>(slot: &'static LocalKey<RefCell<Option<T>>>) {
    slot.with_borrow_mut(|model| model.iter_mut().for_each(FullModel::drain));
}

// === impl ConfigDraft ===

impl ConfigDraft {
    /// Says of an input what its type and its dims are.
    pub fn input(&mut self, name: &str, data_type: DataType, dims: &[i64]) -> &mut TensorDraft {
        said(&mut self.inputs, name, data_type, dims)
    }

    /// The same of an output.
    pub fn output(&mut self, name: &str, data_type: DataType, dims: &[i64]) -> &mut TensorDraft {
        said(&mut self.outputs, name, data_type, dims)
    }
}

#[expect(clippy::indexing_slicing, reason = "it was found there, or has just been put there")]
fn said<'a>(tensors: &'a mut Vec<TensorDraft>, name: &str, data_type: DataType, dims: &[i64]) -> &'a mut TensorDraft {
    let index = tensors.iter().position(|tensor| tensor.name == name).unwrap_or(tensors.len());
    if index == tensors.len() {
        tensors.push(TensorDraft { name: name.to_owned(), data_type: None, dims: None, optional: false });
    }
    let tensor = &mut tensors[index];
    (tensor.data_type, tensor.dims) = (Some(data_type), Some(dims.to_vec()));
    tensor
}

impl From<host::Draft> for ConfigDraft {
    fn from(draft: host::Draft) -> Self {
        Self {
            max_batch_size: draft.max_batch_size,
            inputs: draft.inputs.into_iter().map(TensorDraft::from).collect(),
            outputs: draft.outputs.into_iter().map(TensorDraft::from).collect(),
            dynamic_batching: draft.dynamic_batching,
            decoupled: draft.decoupled,
        }
    }
}

impl From<ConfigDraft> for host::Draft {
    fn from(draft: ConfigDraft) -> Self {
        Self {
            max_batch_size: draft.max_batch_size,
            inputs: draft.inputs.into_iter().map(host::TensorDraft::from).collect(),
            outputs: draft.outputs.into_iter().map(host::TensorDraft::from).collect(),
            dynamic_batching: draft.dynamic_batching,
            decoupled: draft.decoupled,
        }
    }
}

// === impl TensorDraft ===

impl From<host::TensorDraft> for TensorDraft {
    fn from(draft: host::TensorDraft) -> Self {
        Self { name: draft.name, data_type: draft.dtype, dims: draft.dims, optional: draft.optional }
    }
}

impl From<TensorDraft> for host::TensorDraft {
    fn from(draft: TensorDraft) -> Self {
        Self { name: draft.name, dtype: draft.data_type, dims: draft.dims, optional: draft.optional }
    }
}
