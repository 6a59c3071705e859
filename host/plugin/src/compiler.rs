//! The threads on which components are compiled: of low priority, so that compiling waits for serving and not the other way round.
//!
//! Promises: whoever serves requests on the calling thread's runtime compiles nothing; one component is compiled at a time, by as
//! many threads as there are cores, so that the memory for it is bounded. They are started for each component that is not found
//! compiled, and end with it, so that what they had of the allocator's goes back.

use std::thread::available_parallelism;

use parking_lot::Mutex;
use rayon::{ThreadPool, ThreadPoolBuilder};
use rustix_affinity::process::setpriority_process;

/// Beside a thread of ordinary priority that has work too, such a thread gets a tenth of a core; alone it gets all of it.
const NICE: i32 = 10;

/// Whose turn it is.
#[derive(Default)]
pub(crate) struct Compiler {
    turn: Mutex<()>,
}

// === impl Compiler ===

impl Compiler {
    /// Does this on those threads, when it is its turn; blocks the calling thread meanwhile. `found` is asked when the turn comes: whoever
    /// was before may have made the same.
    pub(crate) fn compile<T: Send>(&self, found: impl FnOnce() -> Option<T>, work: impl FnOnce() -> T + Send) -> T {
        let _turn = self.turn.lock();
        if let Some(made) = found() {
            return made;
        }
        match start() {
            Some(threads) => threads.install(work),
            None => work(),
        }
    }
}

fn start() -> Option<ThreadPool> {
    let threads = ThreadPoolBuilder::new()
        .num_threads(available_parallelism().map_or(1, usize::from))
        .thread_name(|index| format!("nereid-compile-{index}"))
        .start_handler(|_| lower_priority())
        .build();
    threads.inspect_err(|error| tracing::warn!("plugins are compiled on the threads that load them: {error}")).ok()
}

/// Of the calling thread alone, as Linux understands the call.
pub(crate) fn lower_priority() {
    if let Err(error) = setpriority_process(None, NICE) {
        tracing::debug!("a thread for plugins keeps its priority: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    use rustix_affinity::process::getpriority_process;

    use super::*;

    #[test]
    fn work_is_done_on_threads_of_low_priority_and_the_callers_keeps_its_own() {
        let compiler = Compiler::default();
        let before = getpriority_process(None).unwrap();
        let caller = thread::current().id();
        let (priority, id) = compiler.compile(|| None, || (getpriority_process(None).unwrap(), thread::current().id()));
        assert_eq!(priority, NICE.max(before));
        assert_ne!(id, caller);
        assert_eq!(getpriority_process(None).unwrap(), before);
    }

    #[test]
    fn one_is_done_at_a_time_and_what_is_found_by_then_is_not_done_again() {
        let compiler = Compiler::default();
        let (under_way, made) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || {
            assert_eq!(under_way.fetch_add(1, Ordering::SeqCst), 0);
            made.fetch_add(1, Ordering::SeqCst);
            under_way.fetch_sub(1, Ordering::SeqCst);
        };
        let found = || (made.load(Ordering::SeqCst) > 0).then_some(());
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| compiler.compile(found, work));
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }
}
