//! Work of the host for a guest on other threads, so that nobody else on the guest's worker waits for it.
//!
//! No more computing goes on there at a time than there are cores, over all plugins; its time is added to the guest's computing
//! time when it is done, because nobody can interrupt it. A guest that is gone leaves its work to end alone.

use std::{
    sync::{Arc, LazyLock},
    thread::available_parallelism,
    time::Instant,
};

use nereid_inference::InferError;
use tokio::{runtime::Handle, sync::Semaphore, task::spawn_blocking, time::timeout_at};

use crate::{failure::Stop, state::PluginState};

/// Work that waits for something else than a processor, over all plugins: some loads of models.
const WAITING_MAX: usize = 4;

/// As many as there are cores.
static COMPUTING: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let cores = available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new(cores))
});

static WAITING: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(WAITING_MAX)));

impl PluginState {
    /// Whether work may be done right here, however long it takes: a guest is started by a thread that blocks for it, perhaps
    /// without a runtime, so that there is nobody else to hold up.
    pub(super) fn may_block(&self) -> bool {
        self.call.serving.is_none() || Handle::try_current().is_err()
    }

    /// Does what takes a processor, or the disk's time, on the guest's account. The outer error is the end of the guest's time.
    pub(super) async fn compute_elsewhere<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<R, InferError> + Send + 'static,
    ) -> Result<Result<R, InferError>, Stop> {
        let clock = self.call.clock.clone();
        let timed = move || {
            let started = Instant::now();
            let done = work();
            clock.spend(started.elapsed());
            done
        };
        self.elsewhere(&COMPUTING, timed).await
    }

    /// Does what mostly waits. The outer error is the end of the guest's time.
    pub(super) async fn wait_elsewhere<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<R, InferError> + Send + 'static,
    ) -> Result<Result<R, InferError>, Stop> {
        self.elsewhere(&WAITING, work).await
    }

    async fn elsewhere<R: Send + 'static>(
        &self,
        turns: &Arc<Semaphore>,
        work: impl FnOnce() -> Result<R, InferError> + Send + 'static,
    ) -> Result<Result<R, InferError>, Stop> {
        let deadline = self.call.clock.deadline().into();
        let out_of_time = |_| Stop::WallTime(self.call.time);
        let turn = timeout_at(deadline, turns.clone().acquire_owned()).await.map_err(out_of_time)?;
        let working = spawn_blocking(move || {
            // Given back when the work is over, whether or not somebody still waits for it.
            let _turn = turn;
            work()
        });
        let worked = timeout_at(deadline, working).await.map_err(out_of_time)?;
        Ok(worked.unwrap_or_else(|error| Err(InferError::unavailable(format!("the work was not done: {error}")))))
    }
}
