//! A guest's linear memory and tables, counted as they grow.
//!
//! What goes beyond a limit is refused before it is there, and the refusal kept for the text of the trap that may follow.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use wasmtime::ResourceLimiter;

use crate::limits::PluginLimits;

/// Core instances and memories of one guest; a component as toolchains build it has three and one.
const CORE_INSTANCES_MAX: usize = 64;

/// Counts linear memory and tables, and refuses what goes beyond the limits.
pub(crate) struct MemoryMeter {
    pub(crate) memory_bytes: usize,
    /// Linear memory of all guests of the plugin, this one included.
    guests_bytes: Arc<AtomicU64>,
    table_elements: usize,
    memory_bytes_max: usize,
    table_elements_max: usize,
    pub(crate) refusal: Option<String>,
}

// === impl MemoryMeter ===

impl MemoryMeter {
    pub(crate) fn new(limits: &PluginLimits, guests_bytes: Arc<AtomicU64>) -> Self {
        Self {
            memory_bytes: 0,
            guests_bytes,
            table_elements: 0,
            memory_bytes_max: usize::try_from(limits.memory_bytes_max).unwrap_or(usize::MAX),
            table_elements_max: usize::try_from(limits.table_elements_max).unwrap_or(usize::MAX),
            refusal: None,
        }
    }
}

/// Growth beyond a limit fails for the guest as it would on a full machine, so that a guest that can cope does; one that
/// cannot traps, and the refusal explains why.
impl ResourceLimiter for MemoryMeter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if total > self.memory_bytes_max {
            let (limit_mib, wanted_mib) = (self.memory_bytes_max >> 20, total.div_ceil(1 << 20));
            self.refusal = Some(format!("{wanted_mib} MiB of memory exceed the limit of {limit_mib} MiB (memory_mib)"));
            return Ok(false);
        }
        self.guests_bytes.fetch_add((total - self.memory_bytes) as u64, Ordering::Relaxed);
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total > self.table_elements_max {
            let limit = self.table_elements_max;
            self.refusal = Some(format!("{total} table elements exceed the limit of {limit} (table_elements)"));
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        CORE_INSTANCES_MAX
    }
}

impl Drop for MemoryMeter {
    fn drop(&mut self) {
        self.guests_bytes.fetch_sub(self.memory_bytes as u64, Ordering::Relaxed);
    }
}
