//! What a plugin author needs, and nothing else: a trait, a macro, tensors, calls to other models.
//!
//! ```no_run
//! use nereid_sdk::{Error, Inputs, Request, Response, Tensor, Transform, export_transform};
//!
//! struct Double;
//!
//! impl Transform for Double {
//!     fn new() -> Result<Self, Error> {
//!         Ok(Self)
//!     }
//!
//!     fn run(&mut self, _request: &Request, inputs: Inputs) -> Result<Response, Error> {
//!         let x = inputs.tensor("X")?;
//!         let doubled: Vec<f32> = x.as_f32()?.iter().map(|value| value * 2.0).collect();
//!         Ok(Response::new().output("Y", Tensor::from_f32(&x.shape(), &doubled)?))
//!     }
//! }
//!
//! export_transform!(Double);
//! ```
//!
//! That is the smallest plugin. [`Model`] and [`export_model!`] make one that sees whole batches, sends many responses, answers
//! later, or has a request executed again. [`FullModel`] and [`export_full_model!`] make one that also knows its configuration, says when
//! it cannot work, and has something to do before it goes. [`AsyncModel`] and [`export_async_model!`] make one that awaits several models
//! at once, [`FullAsyncModel`] and [`export_full_async_model!`] one that is both.
//!
//! Cost: passing a tensor on is free whatever its size; reading or writing one copies it once. Large tensors are copied
//! in pieces, so that a copy stays in the processor's cache.
//!
//! Off the sandbox, for example in a plugin's unit tests, everything that asks the host panics. Keep what is worth a
//! unit test in functions over slices and numbers.

mod agent;
mod async_model;
mod awaiting;
mod batching;
#[doc(hidden)]
pub mod bindings;
pub mod control;
mod error;
mod export;
pub mod files;
mod full_async_model;
mod full_model;
pub mod http;
mod infer;
pub mod log;
pub mod metrics;
mod model;
mod named;
pub mod operations;
mod request;
mod response;
mod secrets;
mod settings;
pub mod state;
mod tensor;
pub mod tokenizers;
pub mod trace;
mod value;

#[doc(hidden)]
pub use crate::{
    agent::act_exported,
    async_model::{AsyncInstance, execute_async_exported, finalise_async_exported, initialise_async_exported},
    batching::{initialise_strategy, with_strategy},
    export::run_exported,
    full_async_model::{drain_async_exported, is_ready_async_exported},
    full_model::{complete_exported, drain_exported, is_ready_exported},
    model::{execute_exported, finalise_exported, initialise_exported},
};
pub use futures_util::future::join_all;

pub use crate::{
    agent::{AgentAction, AgentModel, AgentPlace, RepositoryAgent},
    async_model::AsyncModel,
    awaiting::Answers,
    batching::{BatchCorrelationId, BatchInput, BatchModel, BatchRequest, BatchStrategy},
    bindings::nereid::plugin::{
        logging::Level,
        serving::{Sequence, SequenceId},
        settings::{ModelInfo, TensorInfo},
        tensors::Dtype as DataType,
        types::{ErrorCode, Value},
    },
    error::Error,
    export::Transform,
    full_async_model::FullAsyncModel,
    full_model::{ConfigDraft, FullModel, TensorDraft},
    infer::{Call, Pending, infer, model_ready, wait_any},
    model::{Model, Outcome, Sender},
    request::{Inputs, Request},
    response::Response,
    secrets::secret,
    settings::{instance_name, model, setting, setting_or, settings},
    tensor::{Element, Tensor},
};
