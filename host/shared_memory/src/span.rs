//! A part of a region in the hands of one request.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use nereid_inference::{ExternalMemory, InferError};
use nereid_tensor::{Buffer, BufferMut, ExternalBytes};

use crate::{region::Region, registry::Regions};

/// Bytes of a region. Clones, views and targets keep the region in use.
#[derive(Clone)]
pub(crate) struct Span {
    region_use: Arc<RegionUse>,
    range: Range<usize>,
}

/// Holds a region; the last one lets an unregistered region go.
struct RegionUse {
    region: Arc<Region>,
    regions: Weak<Regions>,
}

// === impl Span ===

impl Span {
    /// The bytes `range`, which the caller has found to be inside the region. To be called while the registry is locked.
    pub(crate) fn new(region: &Arc<Region>, regions: Weak<Regions>, range: Range<usize>) -> Self {
        region.enter();
        Self { region_use: Arc::new(RegionUse { region: Arc::clone(region), regions }), range }
    }

    fn region(&self) -> &Region {
        &self.region_use.region
    }
}

impl ExternalMemory for Span {
    fn length_bytes(&self) -> usize {
        self.range.len()
    }

    fn view(&self) -> Buffer {
        Buffer::external(Bytes::from_owner(self.clone()))
    }

    fn target(&self, length_bytes: usize) -> Option<BufferMut> {
        BufferMut::external(Box::new(self.clone()), length_bytes)
    }

    fn write(&self, bytes: &Buffer) -> Result<(), InferError> {
        let bytes = bytes.on_host().map_err(|error| InferError::internal(error.to_string()))?;
        self.region().mapping.write(self.range.clone(), bytes.as_slice());
        Ok(())
    }

    fn check(&self) -> Result<(), InferError> {
        Ok(self.region().check()?)
    }
}

impl AsRef<[u8]> for Span {
    fn as_ref(&self) -> &[u8] {
        self.region().mapping.bytes(self.range.clone())
    }
}

impl AsMut<[u8]> for Span {
    fn as_mut(&mut self) -> &mut [u8] {
        self.region_use.region.mapping.bytes_mut(self.range.clone())
    }
}

impl ExternalBytes for Span {}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Span({:?} of region '{}')", self.range, self.region().description.name)
    }
}

// === impl RegionUse ===

impl Drop for RegionUse {
    fn drop(&mut self) {
        if self.region.leave()
            && let Some(regions) = self.regions.upgrade()
        {
            regions.remove_if_over(&self.region);
        }
    }
}
