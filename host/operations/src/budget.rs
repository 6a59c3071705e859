//! How much memory an operation may occupy, asked before it is allocated.

use crate::OperationError;

/// Bytes that one operation may allocate, for its result and for what it needs on the way.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    bytes_max: u64,
}

// === impl Budget ===

impl Budget {
    /// As many bytes as the caller can pay for.
    pub fn new(bytes_max: u64) -> Self {
        Self { bytes_max }
    }

    /// Whether `bytes` may be allocated at the same time; `None` stands for more than can be addressed.
    pub(crate) fn check(self, operation: &'static str, bytes: Option<u64>) -> Result<usize, OperationError> {
        let allowed = bytes.filter(|bytes| *bytes <= self.bytes_max).and_then(|bytes| usize::try_from(bytes).ok());
        allowed.ok_or_else(|| {
            let needed = bytes.map_or_else(|| "more than can be addressed".to_owned(), |bytes| bytes.to_string());
            let left = self.bytes_max;
            OperationError::limit(
                operation,
                format_args!("it needs {needed} bytes, {left} are left of the call's host memory (host_tensor_mib)"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fault;

    #[test]
    fn what_is_not_paid_for_is_refused_with_both_numbers() {
        let budget = Budget::new(100);
        assert_eq!(budget.check("crop", Some(100)), Ok(100));
        let error = budget.check("crop", Some(101)).unwrap_err();
        assert_eq!(error.fault(), Fault::Limit);
        assert_eq!(
            error.to_string(),
            "crop: it needs 101 bytes, 100 are left of the call's host memory (host_tensor_mib)"
        );
        assert!(budget.check("crop", None).is_err());
    }
}
