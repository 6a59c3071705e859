//! The port to batching strategies: who has a say in which requests share a batch, besides the sizes and shapes that the scheduler looks at.
//!
//! A strategy is asked about one request at a time, in the order in which they would join, and never twice at once. It may take its
//! time, or fail: whoever asks waits only for so long, and then forms the batch without it.

use std::{fmt, future::Future, path::Path, pin::Pin, sync::Arc};

use nereid_tensor::{DataType, Shape};

use crate::{CheckedRequest, InferError, ModelSource, Parameters, SequenceId};

/// An answer that may take its time.
pub type Considering<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Finds the strategies of models.
pub trait BatchStrategies: Send + Sync {
    /// The strategy in `file` for one generation of a model. May take seconds; blocks.
    ///
    /// # Errors
    /// The file is none, or it does not want to serve this model.
    fn load(&self, file: &Path, source: &ModelSource) -> Result<Arc<dyn BatchStrategy>, InferError>;
}

/// Has a say in what the batches of one generation consist of.
pub trait BatchStrategy: Send + Sync + fmt::Debug {
    /// Whether a request joins the batch that is being formed; `begins` says that it is the first of another one, which is sent with it
    /// whatever the answer is.
    fn consider<'a>(&'a self, request: &'a RequestProfile, begins: bool) -> Considering<'a, Verdict>;

    /// The batch is complete: it is sent, or is begun anew because other requests come before those that were considered.
    fn formed(&self) -> Considering<'_, ()>;
}

/// What a strategy says of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It joins the batch.
    Joins,
    /// The batch is complete without it.
    Stays,
    /// Nobody knows: the rest of the batch is formed without the strategy.
    Failed,
}

/// What a strategy is told of a request: everything but the contents of its tensors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestProfile {
    /// The client's own name for it.
    pub id: String,
    pub rows: u64,
    pub inputs: Vec<InputProfile>,
    pub parameters: Parameters,
    /// 0 is the model's default level, 1 the most urgent.
    pub priority: u64,
    pub sequence: Option<SequenceId>,
}

/// An input of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct InputProfile {
    pub name: Arc<str>,
    pub data_type: DataType,
    /// The batch dimension included.
    pub shape: Shape,
    pub bytes: u64,
}

// === impl RequestProfile ===

impl RequestProfile {
    /// What is told of this request.
    pub fn of(request: &CheckedRequest) -> Self {
        let (rows, request) = (request.batch_size(), request.get());
        let inputs = request.inputs.iter().map(|input| InputProfile {
            name: input.name.clone(),
            data_type: input.tensor.data_type(),
            shape: input.tensor.shape().clone(),
            bytes: input.tensor.byte_size() as u64,
        });
        Self {
            id: request.id.clone(),
            rows,
            inputs: inputs.collect(),
            parameters: request.parameters.clone(),
            priority: request.priority,
            sequence: request.sequence.as_ref().map(|sequence| sequence.id.clone()),
        }
    }
}
