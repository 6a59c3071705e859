//! Looks at the model repositories every so often, when the operator wants that.

use std::{future::Future, sync::Arc, time::Duration};

use nereid_repository::Repository;
use tokio::{
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval_at},
};

/// Polls until `stopped`; a poll that is under way then is finished. The next one begins `every` after the last, or as
/// soon as a longer one is over.
pub(crate) async fn poll(repository: Arc<Repository>, every: Duration, stopped: impl Future<Output = ()>) {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => return,
            _ = ticks.tick() => {},
        }
        let repository = Arc::clone(&repository);
        match spawn_blocking(move || repository.poll()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("failed to poll the model repository, what is loaded stays: {error}"),
            Err(error) => tracing::error!("failed to poll the model repository: {error}"),
        }
    }
}
