//! One tenant: its quota, what counts against it, and what it used since the server started.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use nereid_inference::{InferError, SharedTicket, Tenant, TenantReading, Ticket};
use parking_lot::Mutex;

use crate::quota::{Exceeded, Meter, Quota};

/// A tenant; what its requests are admitted by.
pub(crate) struct Account {
    name: Arc<str>,
    admission: Arc<Mutex<Admission>>,
    /// The moment that the meter counts from.
    epoch: Instant,
    usage: TenantUsage,
}

/// What is allowed, and what counts against it. Changed together, so that no request meets a half of each.
#[derive(Debug)]
struct Admission {
    /// `None` for a tenant that the operator lists no more: nothing of it is admitted.
    quota: Option<Quota>,
    meter: Meter,
}

/// What a tenant's clients asked for; for metrics.
#[derive(Debug, Default)]
struct TenantUsage {
    admitted: AtomicU64,
    input_bytes: AtomicU64,
    rejected_for_rate: AtomicU64,
    rejected_for_concurrency: AtomicU64,
}

/// A request under way.
struct UnderWay(Arc<Mutex<Admission>>);

// === impl Account ===

impl Account {
    pub(crate) fn new(name: Arc<str>, quota: Quota) -> Self {
        let admission = Arc::new(Mutex::new(Admission { quota: Some(quota), meter: Meter::default() }));
        Self { name, admission, epoch: Instant::now(), usage: TenantUsage::default() }
    }

    /// From now on this is what is allowed; what counts against it goes on. `None` admits nothing.
    pub(crate) fn set_quota(&self, quota: Option<Quota>) {
        self.admission.lock().quota = quota;
    }

    pub(crate) fn is_listed(&self) -> bool {
        self.admission.lock().quota.is_some()
    }

    pub(crate) fn reading(&self) -> TenantReading {
        let usage = &self.usage;
        TenantReading {
            tenant: self.name.clone(),
            admitted: usage.admitted.load(Relaxed),
            input_bytes: usage.input_bytes.load(Relaxed),
            rejected_for_rate: usage.rejected_for_rate.load(Relaxed),
            rejected_for_concurrency: usage.rejected_for_concurrency.load(Relaxed),
            under_way: self.admission.lock().meter.under_way(),
        }
    }

    fn refuse(&self, exceeded: Exceeded) -> InferError {
        let name = &self.name;
        match exceeded {
            Exceeded::Rate { rate, wait } => {
                self.usage.rejected_for_rate.fetch_add(1, Relaxed);
                let (rate, burst) = (rate.requests_per_second, rate.burst);
                let milliseconds = wait.as_micros().div_ceil(1000);
                let refusal = InferError::resource_exhausted(format!(
                    "tenant '{name}' is beyond its {rate} requests per second (burst {burst}); try again in {milliseconds} ms"
                ));
                refusal.retry_after(wait)
            }
            Exceeded::Concurrency { most } => {
                self.usage.rejected_for_concurrency.fetch_add(1, Relaxed);
                InferError::resource_exhausted(format!(
                    "tenant '{name}' has {most} requests under way, as many as it may; try again when one is answered"
                ))
            }
        }
    }
}

impl Tenant for Account {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn admit(&self, input_bytes: u64) -> Result<SharedTicket, InferError> {
        let mut admission = self.admission.lock();
        let Admission { quota, meter } = &mut *admission;
        let quota = quota.as_ref().ok_or_else(|| {
            let name = &self.name;
            InferError::permission(format!("nereid.toml lists no tenant '{name}' any more: its keys are for nothing"))
        })?;
        let admitted = meter.admit(quota, self.epoch.elapsed());
        drop(admission);
        admitted.map_err(|exceeded| self.refuse(exceeded))?;
        self.usage.admitted.fetch_add(1, Relaxed);
        self.usage.input_bytes.fetch_add(input_bytes, Relaxed);
        Ok(Arc::new(UnderWay(self.admission.clone())))
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({}, {:?})", self.name, self.admission.lock().quota)
    }
}

// === impl UnderWay ===

impl fmt::Debug for UnderWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnderWay")
    }
}

impl Ticket for UnderWay {}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.lock().meter.release();
    }
}
