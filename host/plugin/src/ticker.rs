//! The thread that moves the engines' epochs on, so that running guests look at their clocks.
//!
//! It sleeps without waking while no call is under way, so that an idle server stays idle.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use parking_lot::Mutex;
use wasmtime::{Engine, EngineWeak};

use crate::slices::{SLICE_MIN, ask_for_slices};

/// How often a running guest looks at its clocks and lets others use its thread: what a spinning guest can add to its neighbours'
/// latency (benches/README.md, "Neighbours"). The thread that ticks takes half a percent of a core while calls are under way.
pub(crate) const EPOCH_TICK: Duration = Duration::from_millis(1);

/// Owns the thread.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

/// Keeps the epochs moving while it exists.
pub(crate) struct Ticking<'a> {
    ticker: &'a Ticker,
}

struct Shared {
    engines: Mutex<Vec<EngineWeak>>,
    calls: AtomicUsize,
    ended: AtomicBool,
}

// === impl Ticker ===

impl Ticker {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let engines = Mutex::new(vec![engine.weak()]);
        let shared = Arc::new(Shared { engines, calls: AtomicUsize::new(0), ended: AtomicBool::new(false) });
        let for_thread = shared.clone();
        let tick = move || {
            // It wakes up on a core where the guest runs whose turn it is to end.
            ask_for_slices(SLICE_MIN);
            while !for_thread.ended.load(Ordering::Acquire) {
                // A call that begins after this look unparks the thread, and the permit is kept if that comes first.
                if for_thread.calls.load(Ordering::Acquire) == 0 {
                    thread::park();
                    continue;
                }
                thread::sleep(EPOCH_TICK);
                for_thread
                    .engines
                    .lock()
                    .iter()
                    .filter_map(EngineWeak::upgrade)
                    .for_each(|engine| engine.increment_epoch());
            }
        };
        let handle = thread::Builder::new().name("nereid-epoch".to_owned()).spawn(tick)?;
        Ok(Self { shared, thread: handle.thread().clone() })
    }

    /// Moves the epoch of this engine, too.
    pub(crate) fn also(&self, engine: &Engine) {
        self.shared.engines.lock().push(engine.weak());
    }

    /// Keeps the epochs moving until the guard is dropped.
    pub(crate) fn tick(&self) -> Ticking<'_> {
        if self.shared.calls.fetch_add(1, Ordering::AcqRel) == 0 {
            self.thread.unpark();
        }
        Ticking { ticker: self }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

// === impl Ticking ===

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.ticker.shared.calls.fetch_sub(1, Ordering::AcqRel);
    }
}
