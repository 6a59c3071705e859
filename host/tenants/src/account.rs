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
    quota: Quota,
    meter: Arc<Mutex<Meter>>,
    /// The moment that the meter counts from.
    epoch: Instant,
    usage: TenantUsage,
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
struct UnderWay(Arc<Mutex<Meter>>);

// === impl Account ===

impl Account {
    pub(crate) fn new(name: Arc<str>, quota: Quota) -> Self {
        Self { name, quota, meter: Arc::default(), epoch: Instant::now(), usage: TenantUsage::default() }
    }

    pub(crate) fn reading(&self) -> TenantReading {
        let usage = &self.usage;
        TenantReading {
            tenant: self.name.clone(),
            admitted: usage.admitted.load(Relaxed),
            input_bytes: usage.input_bytes.load(Relaxed),
            rejected_for_rate: usage.rejected_for_rate.load(Relaxed),
            rejected_for_concurrency: usage.rejected_for_concurrency.load(Relaxed),
            under_way: self.meter.lock().under_way(),
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
        let admitted = self.meter.lock().admit(&self.quota, self.epoch.elapsed());
        admitted.map_err(|exceeded| self.refuse(exceeded))?;
        self.usage.admitted.fetch_add(1, Relaxed);
        self.usage.input_bytes.fetch_add(input_bytes, Relaxed);
        Ok(Arc::new(UnderWay(self.meter.clone())))
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({}, {:?})", self.name, self.quota)
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
        self.0.lock().release();
    }
}
