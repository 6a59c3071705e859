//! The shape of pictures: a batch or none, rows, columns, channels.

use nereid_tensor::{Shape, Tensor};

use crate::OperationError;

/// A tensor of pictures, taken apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// `None` where the tensor is one picture without a batch dimension.
    pub(crate) batch: Option<u64>,
    pub(crate) height: u64,
    pub(crate) width: u64,
    pub(crate) channels: u64,
}

// === impl Frame ===

impl Frame {
    pub(crate) fn of(operation: &'static str, tensor: &Tensor) -> Result<Self, OperationError> {
        match **tensor.shape() {
            [height, width, channels] => Ok(Self { batch: None, height, width, channels }),
            [batch, height, width, channels] => Ok(Self { batch: Some(batch), height, width, channels }),
            _ => {
                let shape = tensor.shape();
                let text =
                    format!("the image has shape {shape}, expected [height,width,channels] or a batch of such images");
                Err(OperationError::argument(operation, text))
            }
        }
    }

    /// The shape with other rows and columns.
    pub(crate) fn resized(self, height: u64, width: u64) -> Shape {
        self.batch.into_iter().chain([height, width, self.channels]).collect()
    }
}
