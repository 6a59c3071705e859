//! A process for tests: its memory is a number.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::ProcessMemory;

/// Resident memory, and the peak since it was started over.
#[derive(Debug, Default)]
pub(crate) struct FakeProcess(Mutex<Option<(u64, u64)>>);

// === impl FakeProcess ===

impl FakeProcess {
    /// One that has so much.
    pub(crate) fn new(resident_bytes: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some((resident_bytes, resident_bytes)))))
    }

    /// One that does not tell.
    pub(crate) fn silent() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn grow(&self, bytes: u64) {
        if let Some((resident, peak)) = &mut *self.0.lock() {
            *resident += bytes;
            *peak = (*peak).max(*resident);
        }
    }

    pub(crate) fn fall(&self, bytes: u64) {
        if let Some((resident, _)) = &mut *self.0.lock() {
            *resident -= bytes;
        }
    }
}

impl ProcessMemory for FakeProcess {
    fn resident_bytes(&self) -> Option<u64> {
        self.0.lock().map(|(resident, _)| resident)
    }

    fn restart_peak(&self) {
        if let Some((resident, peak)) = &mut *self.0.lock() {
            *peak = *resident;
        }
    }

    fn peak_bytes(&self) -> Option<u64> {
        self.0.lock().map(|(_, peak)| peak)
    }
}
