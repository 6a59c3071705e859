//! A few threads for work that blocks.

use std::thread;

use nereid_sync::Mutex;

/// Runs `work` on the calling thread and up to `threads - 1` more, until all have returned.
///
/// A thread that cannot be had is done without: the calling thread always works.
pub(crate) fn on_threads(threads: usize, work: impl Fn() + Sync) {
    thread::scope(|scope| {
        for index in 1..threads {
            let spawned = thread::Builder::new().name(format!("model-load-{index}")).spawn_scoped(scope, &work);
            if let Err(error) = spawned {
                tracing::warn!("loading models on {index} threads only: {error}");
                break;
            }
        }
        work();
    });
}

/// Applies `work` to every item, on up to `threads` threads; results keep the order of the items.
pub(crate) fn map<T: Send, R: Send>(threads: usize, items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = threads.min(items.len());
    let waiting = Mutex::new(items.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    on_threads(threads, || {
        loop {
            let next = waiting.lock().next();
            let Some((index, item)) = next else { return };
            let result = work(item);
            done.lock().push((index, result));
        }
    });
    let mut done = done.into_inner();
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order() {
        for threads in [0, 1, 3, 99] {
            assert_eq!(map(threads, vec![1, 2, 3, 4, 5], |n| n * n), [1, 4, 9, 16, 25]);
        }
    }
}
