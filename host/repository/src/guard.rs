//! A panic in code that is called once per model becomes an error of that model.

use std::panic::{AssertUnwindSafe, catch_unwind};

use nereid_inference::InferError;

/// Runs `work`; `stage` names what it does.
///
/// Nothing that `work` may have left half done is used afterwards: its result is thrown away.
pub(crate) fn guarded<T>(stage: &str, work: impl FnOnce() -> Result<T, InferError>) -> Result<T, InferError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Err(InferError::internal(format!("the loader panicked while {stage}: {text}")))
    })
}
