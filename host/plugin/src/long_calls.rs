//! Where guests compute that take long over a call: on threads of lower priority, so that they wait for those who do not.
//!
//! A call begins on the thread of whoever made it, and most end there. One that has used up [`BRIEF_MAX`] and whose turn is over
//! goes on apart, a slice at a time, as many calls at once as there are cores. What it shares with others from then on is the
//! machine, whose scheduler lets the server's own threads run before it; without this a guest that spins would hold the worker
//! that a neighbour's request is queued on until its turn ends, again and again. Calls of a plugin whose last ones were long
//! begin apart, so that neighbours do not wait for the first turn of each either.
//!
//! Invariant: one thread at a time polls a call. Between slices, and while it waits for another model, a call is on no thread.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        OnceLock,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    thread::available_parallelism,
    time::{Duration, Instant},
};

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::Semaphore,
    task::block_in_place,
};

use crate::{clock::CallClock, compiler::lower_priority, slices::ask_for_slices};

/// What a call may compute on its caller's thread.
const BRIEF_MAX: Duration = Duration::from_millis(1);

/// What a call computes apart before the next one has its turn; threads with ordinary slices interrupt it when they wake up.
const SLICE: Duration = Duration::from_millis(20);

/// So many long calls of a plugin in a row, and the next one begins apart. One or two happen to any plugin on a busy machine, and would
/// put it behind those that spin.
const LONG_IN_A_ROW: u8 = 3;

/// The threads, once there are some, and the turns on them.
pub(crate) struct LongCalls {
    threads: OnceLock<Option<ThreadPool>>,
    turns: Semaphore,
}

/// What the last calls of a plugin were like: so many were long since the last that was not.
#[derive(Debug, Default)]
pub(crate) struct Habit(AtomicU8);

/// What came of polling a call.
enum Polled<T> {
    Done(T),
    /// It waits for something.
    Waits,
    /// It would go on at once.
    GoesOn,
}

// === impl LongCalls ===

impl Default for LongCalls {
    fn default() -> Self {
        Self { threads: OnceLock::new(), turns: Semaphore::new(threads()) }
    }
}

impl LongCalls {
    /// Runs a call of a guest with its second clock going while it is polled; `cancelled` is asked at each poll.
    pub(crate) async fn run<T: Send>(
        &self,
        clock: &CallClock,
        cancelled: impl FnMut() -> bool + Send,
        call: impl Future<Output = T> + Send,
    ) -> T {
        self.run_by_habit(&Habit::default(), clock, cancelled, call).await
    }

    /// The same, for one of the calls that a plugin is there for.
    pub(crate) async fn run_by_habit<T: Send>(
        &self,
        habit: &Habit,
        clock: &CallClock,
        mut cancelled: impl FnMut() -> bool + Send,
        call: impl Future<Output = T> + Send,
    ) -> T {
        let mut call = pin!(call);
        let begins_apart = habit.is_long() && can_block();
        let is_long = || clock.cpu_time() >= BRIEF_MAX && can_block();
        let mut ended = if begins_apart { self.go_on_apart(clock, &mut cancelled, call.as_mut()).await } else { None };
        let value = loop {
            if let Some(value) = ended {
                break value;
            }
            let here = poll_fn(|context| match clock.poll(&mut cancelled, call.as_mut(), context) {
                Polled::Done(value) => Poll::Ready(Some(value)),
                Polled::GoesOn if is_long() => Poll::Ready(None),
                Polled::GoesOn | Polled::Waits => Poll::Pending,
            });
            ended = match here.await {
                None => self.go_on_apart(clock, &mut cancelled, call.as_mut()).await,
                value => value,
            };
        };
        habit.note(clock.cpu_time() >= BRIEF_MAX);
        value
    }

    /// Until the call ends or waits for something.
    async fn go_on_apart<T: Send>(
        &self,
        clock: &CallClock,
        cancelled: &mut (impl FnMut() -> bool + Send),
        mut call: Pin<&mut (impl Future<Output = T> + Send)>,
    ) -> Option<T> {
        loop {
            // Nobody closes it.
            let _turn = self.turns.acquire().await;
            let slice = poll_fn(|context| Poll::Ready(self.slice(clock, cancelled, call.as_mut(), context.waker())));
            match slice.await {
                Polled::Done(value) => return Some(value),
                Polled::GoesOn => {}
                Polled::Waits => break,
            }
        }
        // What it waits for wakes this task, or has done so already.
        let mut has_waited = false;
        poll_fn(|_| if std::mem::replace(&mut has_waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
        None
    }

    /// Lets the call compute on another thread while this one blocks, and others take over what is queued here.
    fn slice<T: Send>(
        &self,
        clock: &CallClock,
        cancelled: &mut (impl FnMut() -> bool + Send),
        mut call: Pin<&mut (impl Future<Output = T> + Send)>,
        waker: &Waker,
    ) -> Polled<T> {
        let runtime = Handle::current();
        let turn = move || {
            let _within = runtime.enter();
            let started = Instant::now();
            loop {
                match clock.poll(cancelled, call.as_mut(), &mut Context::from_waker(waker)) {
                    Polled::GoesOn if started.elapsed() < SLICE => {}
                    polled => return polled,
                }
            }
        };
        match self.threads.get_or_init(start) {
            Some(threads) => block_in_place(|| threads.install(turn)),
            None => block_in_place(turn),
        }
    }
}

// === impl Habit ===

impl Habit {
    fn is_long(&self) -> bool {
        self.0.load(Relaxed) >= LONG_IN_A_ROW
    }

    fn note(&self, was_long: bool) {
        let before = self.0.load(Relaxed);
        let after = if was_long { before.saturating_add(1) } else { 0 };
        // Read by every call, so written only by those that change it.
        if before != after {
            self.0.store(after, Relaxed);
        }
    }
}

impl CallClock {
    /// Polls the call while its second clock goes.
    fn poll<T>(
        &self,
        cancelled: &mut impl FnMut() -> bool,
        call: Pin<&mut impl Future<Output = T>>,
        context: &mut Context<'_>,
    ) -> Polled<T> {
        self.resume(cancelled());
        let polled = call.poll(context);
        self.pause();
        match polled {
            Poll::Ready(value) => Polled::Done(value),
            Poll::Pending if self.take_turn_over() => Polled::GoesOn,
            Poll::Pending => Polled::Waits,
        }
    }
}

/// Whether this thread may wait for another one: not where it is the only one.
fn can_block() -> bool {
    Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

fn threads() -> usize {
    available_parallelism().map_or(1, usize::from)
}

fn start() -> Option<ThreadPool> {
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads())
        .thread_name(|index| format!("nereid-long-{index}"))
        .start_handler(|_| {
            lower_priority();
            ask_for_slices(SLICE);
        })
        .build();
    pool.inspect_err(|error| tracing::warn!("guests that compute for long do so on the server's own threads: {error}"))
        .ok()
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use tokio::{
        task::yield_now,
        time::{sleep, timeout},
    };

    use super::*;

    /// Computes as a guest does that never ends by itself: a millisecond, then others may run.
    async fn compute(clock: &CallClock, turns: usize) -> Vec<bool> {
        let mut apart = Vec::with_capacity(turns);
        for _ in 0..turns {
            let started = Instant::now();
            while started.elapsed() < Duration::from_millis(1) {}
            apart.push(thread::current().name().is_some_and(|name| name.starts_with("nereid-long-")));
            clock.end_turn();
            yield_now().await;
        }
        apart
    }

    fn clock() -> CallClock {
        CallClock::start(Duration::from_secs(60))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_call_that_takes_long_goes_on_apart_and_waits_where_it_was() {
        let (calls, clock) = (LongCalls::default(), clock());
        let call = async {
            let first = compute(&clock, 20).await;
            // Not the end of a turn: it waits, if only for its own waking.
            yield_now().await;
            let woken_apart = thread::current().name().is_some_and(|name| name.starts_with("nereid-long-"));
            (first, woken_apart, compute(&clock, 5).await)
        };
        let (first, woken_apart, then) = calls.run(&clock, || false, call).await;
        let begun = first.iter().take_while(|apart| !**apart).count();
        assert!((1..=6).contains(&begun), "brief at first: {first:?}");
        assert!(first[begun..].iter().all(|apart| *apart), "then apart for good: {first:?}");
        assert!(!woken_apart && !then[0] && then[4], "{then:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn calls_of_a_plugin_whose_last_ones_were_long_begin_apart() {
        let (calls, habit) = (LongCalls::default(), Habit::default());
        let begins_apart = async |turns| {
            let clock = clock();
            let call = async { thread::current().name().is_some_and(|name| name.starts_with("nereid-long-")) };
            let call = async { (call.await, compute(&clock, turns).await).0 };
            calls.run_by_habit(&habit, &clock, || false, call).await
        };
        for _ in 0..LONG_IN_A_ROW {
            assert!(!begins_apart(3).await, "one that was never long begins where it is made");
        }
        assert!(begins_apart(3).await && begins_apart(3).await);
        assert!(begins_apart(0).await, "this one is short, and nobody knew");
        assert!(!begins_apart(3).await);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn others_run_on_the_only_worker_while_calls_compute() {
        let calls = std::sync::Arc::new(LongCalls::default());
        let (tell, ended) = mpsc::channel();
        let long: Vec<_> = (0..2 * threads() + 1)
            .map(|_| {
                let (calls, tell) = (calls.clone(), tell.clone());
                tokio::spawn(async move {
                    let clock = clock();
                    let apart = calls.run(&clock, || false, compute(&clock, 100)).await;
                    tell.send(apart.into_iter().filter(|apart| *apart).count()).unwrap();
                })
            })
            .collect();
        sleep(Duration::from_millis(60)).await;
        // Each hop of a neighbour would wait for a turn of each of the others.
        let neighbour = async {
            for _ in 0..200 {
                tokio::spawn(yield_now()).await.unwrap();
            }
        };
        timeout(Duration::from_secs(5), neighbour).await.unwrap();
        assert!(ended.try_recv().is_err(), "the neighbour was served while they computed");
        for call in long {
            call.await.unwrap();
        }
        drop(tell);
        assert!(ended.iter().all(|apart| apart > 80));
    }

    #[tokio::test]
    async fn where_there_is_one_thread_a_call_stays_on_it() {
        let (calls, clock) = (LongCalls::default(), clock());
        let apart = calls.run(&clock, || false, compute(&clock, 10)).await;
        assert!(apart.iter().all(|apart| !apart));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_call_that_panics_apart_panics_where_it_was_made() {
        let calls = std::sync::Arc::new(LongCalls::default());
        let call = {
            let calls = calls.clone();
            tokio::spawn(async move {
                let clock = clock();
                let call = async {
                    compute(&clock, 10).await;
                    panic!("broken");
                };
                calls.run(&clock, || false, call).await
            })
        };
        assert!(call.await.unwrap_err().is_panic());
        // Its turn is free again.
        for _ in 0..threads() {
            let clock = clock();
            assert!(calls.run(&clock, || false, compute(&clock, 10)).await.contains(&true));
        }
    }
}
