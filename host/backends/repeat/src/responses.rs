//! What both backends do between two responses: wait without a thread, and notice that the client is gone.

use std::time::Duration;

use nereid_inference::ResponseSender;
use tokio::time::sleep;

/// Waits, for no longer than the client does; returns whether it still does.
pub(crate) async fn wait(sender: &ResponseSender, delay: Duration) -> bool {
    if delay.is_zero() {
        return !sender.is_cancelled();
    }
    tokio::select! {
        biased;
        () = sender.cancelled() => false,
        () = sleep(delay) => true,
    }
}
