//! Arguments on their way over the line: memory of ours that is the shim's to give back.

use std::{
    ffi::{CStr, CString, c_void},
    ptr,
};

use nereid_tensor::{BufferMut, DataType, Shape, Tensor};

use crate::element_type;

use super::raw;

/// One argument.
pub(crate) struct Argument {
    /// The key in a dictionary.
    pub(crate) key: Option<CString>,
    pub(crate) data_type: DataType,
    pub(crate) shape: Shape,
    /// The elements, one part after the other; one part, in memory of the host and used in place, for a model on the CPU.
    pub(crate) parts: Vec<Part>,
}

/// Some of an argument's elements.
pub(crate) struct Part {
    pub(crate) memory: Memory,
    pub(crate) usage: Usage,
}

/// Where elements are.
pub(crate) enum Memory {
    /// Read where they are, on the host or on a device. Nobody may write to them, the model included.
    Shared(Tensor),
    /// A copy, which the model may write to.
    Own(BufferMut),
}

/// What may be done with elements; the shim's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    InPlace = 0,
    /// In place, and an output that lies there is copied, because others may write there later.
    Open = 1,
    /// Copied before anything is computed.
    Copied = 2,
}

/// Arguments as the shim reads them; what they point to lives as long as this, but for the parts' own memory, which lives
/// until the shim releases it.
pub(super) struct Lent {
    arguments: Vec<LentArgument>,
}

struct LentArgument {
    key: Option<CString>,
    dimensions: Vec<i64>,
    data_type: u32,
    parts: Vec<raw::Part>,
}

// === impl Lent ===

impl Lent {
    /// Hands the memory over to the shim's care: a call with [`Lent::inputs`] has to follow.
    pub(super) fn new(arguments: Vec<Argument>) -> Self {
        let lend = |argument: Argument| LentArgument {
            key: argument.key,
            dimensions: argument.shape.to_signed(),
            // No plan has an argument of BYTES; the shim refuses the number.
            data_type: element_type::number(argument.data_type).unwrap_or(u32::MAX),
            parts: argument.parts.into_iter().map(Part::into_raw).collect(),
        };
        Self { arguments: arguments.into_iter().map(lend).collect() }
    }

    pub(super) fn inputs(&self) -> Vec<raw::Input> {
        let input = |argument: &LentArgument| raw::Input {
            key: argument.key.as_deref().map_or(ptr::null(), CStr::as_ptr),
            dimensions: argument.dimensions.as_ptr(),
            rank: argument.dimensions.len(),
            data_type: argument.data_type,
            parts: argument.parts.as_ptr(),
            part_count: argument.parts.len(),
        };
        self.arguments.iter().map(input).collect()
    }
}

// === impl Part ===

impl Part {
    fn into_raw(self) -> raw::Part {
        let memory = Box::new(self.memory);
        let (data, length_bytes, device) = memory.place();
        raw::Part {
            data,
            length_bytes,
            device,
            usage: self.usage as u32,
            owner: Box::into_raw(memory).cast::<c_void>(),
            release: release_memory,
        }
    }
}

// === impl Memory ===

impl Memory {
    /// Address, length and device. The shim takes a pointer to mutable memory; a model that would write gets a copy.
    fn place(&self) -> (*mut c_void, usize, i32) {
        let host = |bytes: &[u8]| (bytes.as_ptr().cast_mut().cast::<c_void>(), bytes.len(), raw::HOST);
        match self {
            Self::Own(buffer) => host(buffer.as_slice()),
            Self::Shared(tensor) => match tensor.buffer().device() {
                None => host(tensor.buffer().as_slice()),
                Some(span) => {
                    let address = usize::try_from(span.address).unwrap_or_default();
                    (ptr::without_provenance_mut(address), span.length_bytes, span.device_id)
                }
            },
        }
    }
}

/// Drops the memory of a part.
extern "C" fn release_memory(owner: *mut c_void) {
    // SAFETY: `into_raw` made this pointer from a box of this type, and the shim gives it back once.
    drop(unsafe { Box::from_raw(owner.cast::<Memory>()) });
}
