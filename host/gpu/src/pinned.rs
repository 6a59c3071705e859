//! Page-locked memory of the host, which devices copy to and from at full speed. Locking pages is slow, so blocks are
//! kept, in sizes of powers of two, up to a limit for all devices together.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Weak},
};

use cudarc::driver::CudaContext;
use parking_lot::Mutex;

use crate::{driver::PinnedMemory, gpu::log_failure};

/// The smallest block.
const BLOCK_BYTES_MIN: usize = 64 << 10;

/// How much of the pool is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PinnedUsage {
    pub total_bytes: usize,
    pub used_bytes: usize,
}

/// Blocks of page-locked memory, in use and idle.
#[derive(Debug)]
pub(crate) struct PinnedPool {
    limit_bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By size in bytes.
    idle: BTreeMap<usize, Vec<PinnedMemory>>,
    allocated_bytes: usize,
    used_bytes: usize,
}

/// A block in somebody's hands.
pub(crate) struct PinnedBlock {
    /// There until it is dropped.
    memory: Option<PinnedMemory>,
    block_bytes: usize,
    length_bytes: usize,
    context: Weak<CudaContext>,
    pool: Arc<PinnedPool>,
}

// === impl PinnedPool ===

impl PinnedPool {
    /// An empty pool that locks at most `limit_bytes`.
    pub(crate) fn new(limit_bytes: usize) -> Arc<Self> {
        Arc::new(Self { limit_bytes, state: Mutex::default() })
    }

    pub(crate) fn usage(&self) -> PinnedUsage {
        PinnedUsage { total_bytes: self.limit_bytes, used_bytes: self.state.lock().used_bytes }
    }

    /// Frees the blocks that nobody uses.
    pub(crate) fn clear(&self, context: &CudaContext) {
        let mut state = self.state.lock();
        while state.free_one(context) {}
    }

    fn take(&self, context: &CudaContext, block_bytes: usize) -> Option<PinnedMemory> {
        let mut state = self.state.lock();
        if let Some(memory) = state.idle.get_mut(&block_bytes).and_then(Vec::pop) {
            state.used_bytes += block_bytes;
            return Some(memory);
        }
        while state.allocated_bytes + block_bytes > self.limit_bytes {
            if !state.free_one(context) {
                return None;
            }
        }
        let memory = PinnedMemory::allocate(context, block_bytes);
        let memory = memory.inspect_err(|error| tracing::debug!("no page-locked memory: {error}")).ok()?;
        state.allocated_bytes += block_bytes;
        state.used_bytes += block_bytes;
        Some(memory)
    }

    fn give_back(&self, memory: PinnedMemory, block_bytes: usize) {
        let mut state = self.state.lock();
        state.used_bytes -= block_bytes;
        state.idle.entry(block_bytes).or_default().push(memory);
    }
}

// === impl State ===

impl State {
    /// Frees one idle block, the largest; whether there was one.
    fn free_one(&mut self, context: &CudaContext) -> bool {
        let Some((block_bytes, memory)) =
            self.idle.iter_mut().rev().find_map(|(bytes, blocks)| Some((*bytes, blocks.pop()?)))
        else {
            return false;
        };
        self.allocated_bytes -= block_bytes;
        log_failure("page-locked memory could not be freed", memory.free(context));
        true
    }
}

// === impl PinnedBlock ===

impl PinnedBlock {
    /// At least `length_bytes` bytes; `None` when the pool has no room.
    pub(crate) fn take(pool: &Arc<PinnedPool>, context: &Arc<CudaContext>, length_bytes: usize) -> Option<Self> {
        let block_bytes = length_bytes.max(BLOCK_BYTES_MIN).checked_next_power_of_two()?;
        let memory = Some(pool.take(context, block_bytes)?);
        Some(Self { memory, block_bytes, length_bytes, context: Arc::downgrade(context), pool: Arc::clone(pool) })
    }
}

impl AsRef<[u8]> for PinnedBlock {
    fn as_ref(&self) -> &[u8] {
        let bytes = self.memory.as_ref().map(PinnedMemory::bytes).unwrap_or_default();
        bytes.get(..self.length_bytes).unwrap_or_default()
    }
}

impl AsMut<[u8]> for PinnedBlock {
    fn as_mut(&mut self) -> &mut [u8] {
        let bytes = self.memory.as_mut().map(PinnedMemory::bytes_mut).unwrap_or_default();
        bytes.get_mut(..self.length_bytes).unwrap_or_default()
    }
}

impl fmt::Debug for PinnedBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PinnedBlock({} bytes)", self.length_bytes)
    }
}

impl Drop for PinnedBlock {
    fn drop(&mut self) {
        // Without its context the process is ending, and the memory with it.
        if self.context.strong_count() > 0
            && let Some(memory) = self.memory.take()
        {
            self.pool.give_back(memory, self.block_bytes);
        }
    }
}
