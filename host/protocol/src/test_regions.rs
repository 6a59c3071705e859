//! A region `R` of the bytes 0 to 7 for the tests of both protocols.

use std::sync::Arc;

use nereid_inference::{ExternalMemory, InferError, MemoryRegions};
use nereid_tensor::{Buffer, BufferMut};

pub(crate) struct Regions;

#[derive(Debug)]
struct Span(Buffer);

impl MemoryRegions for Regions {
    fn span(&self, name: &str, offset_bytes: u64, length_bytes: u64) -> Result<Arc<dyn ExternalMemory>, InferError> {
        if name != "R" {
            return Err(InferError::not_found(format!("no region {name}")));
        }
        let region = Buffer::external((0..8).collect::<Vec<u8>>().into());
        let end = offset_bytes.checked_add(length_bytes).and_then(|end| usize::try_from(end).ok());
        let part = end.and_then(|end| region.slice(usize::try_from(offset_bytes).ok()?..end));
        let beyond = || InferError::invalid_argument(format!("beyond: {offset_bytes} {length_bytes}"));
        Ok(Arc::new(Span(part.ok_or_else(beyond)?)))
    }
}

impl ExternalMemory for Span {
    fn length_bytes(&self) -> usize {
        self.0.len()
    }

    fn view(&self) -> Buffer {
        self.0.clone()
    }

    fn target(&self, _: usize) -> Option<BufferMut> {
        None
    }

    fn write(&self, _: &Buffer) -> Result<(), InferError> {
        Ok(())
    }

    fn check(&self) -> Result<(), InferError> {
        Ok(())
    }
}
