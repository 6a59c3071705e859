//! Host memory that a call occupies on behalf of its guest.
//!
//! A [`Charge`] is paid back when the last tensor over the memory is gone, wherever it went: handles share charges as
//! they share buffers.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use nereid_inference::InferError;

/// Bytes in use and the most that may be.
#[derive(Debug)]
pub(crate) struct Account {
    used_bytes: AtomicU64,
    bytes_max: u64,
}

/// Bytes taken from an account until this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    account: Arc<Account>,
    bytes: u64,
}

// === impl Account ===

impl Account {
    pub(crate) fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { used_bytes: AtomicU64::new(0), bytes_max })
    }

    /// Bytes that can still be taken.
    pub(crate) fn left(&self) -> u64 {
        self.bytes_max.saturating_sub(self.used_bytes.load(Ordering::Relaxed))
    }

    /// Takes `bytes` before they are allocated.
    ///
    /// # Errors
    /// `ResourceExhausted`: the account does not hold as many.
    pub(crate) fn charge(self: &Arc<Self>, bytes: u64) -> Result<Arc<Charge>, InferError> {
        let take = |used: u64| used.checked_add(bytes).filter(|total| *total <= self.bytes_max);
        match self.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(Arc::new(Charge { account: self.clone(), bytes })),
            Err(used) => Err(InferError::resource_exhausted(format!(
                "{bytes} more bytes of tensors exceed the limit of {} bytes per call (host_tensor_mib), {used} are in use",
                self.bytes_max
            ))),
        }
    }
}

// === impl Charge ===

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_is_paid_back_when_its_last_holder_is_gone() {
        let account = Account::new(100);
        let charge = account.charge(80).unwrap();
        let shared = charge.clone();
        drop(charge);
        assert!(account.charge(30).is_err());
        drop(shared);
        assert!(account.charge(100).is_ok());
    }

    #[test]
    fn an_overflowing_charge_is_refused() {
        let account = Account::new(u64::MAX);
        let _held = account.charge(10).unwrap();
        assert!(account.charge(u64::MAX).is_err());
    }
}
