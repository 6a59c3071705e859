//! Random components against the host boundary, of every world. Whatever a guest calls and answers: its call ends within its limits, as an
//! answer or as an error that names the plugin; nothing in the host panics; and a neighbour of the same engine is served.
//!
//! A failure prints its seed; `NEREID_SEED=n` replays it, `NEREID_SEEDS=n` goes deep.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "bits of guests")]

#[path = "support/random_guest.rs"]
mod random_guest;
mod support;

use std::{
    collections::BTreeMap,
    fmt::Display,
    mem, panic,
    sync::{
        Arc, LazyLock, Once,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use nereid_inference::{BatchStrategy as _, InferError, InferResponse, InputProfile, RequestProfile, response_channel};
use nereid_plugin::{
    AgentAction, AgentTask, ConfigDraft, ModelGuest, Outcome, Plugin, PluginLimits, PluginSpec, PluginStrategy,
    SandboxPool, StrategyModel, ask_agent, ask_for_completion,
};
use nereid_seeds::{Random, for_every_random};
use nereid_tensor::DataType;
use random_guest::Shape;
use support::*;

/// Components; each is compiled, which takes most of its time.
const SEEDS: u64 = 60;
const WALL_TIME: Duration = Duration::from_millis(300);
/// Of a machine that does other things.
const SLACK: Duration = Duration::from_secs(10);

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// One that gives its input back, of the same engine.
static NEIGHBOUR: LazyLock<SandboxPool> = LazyLock::new(|| pool(&component(&[], IDENTITY), spec()));

/// Wasmtime's, where a task of a guest ends without a result: of builds with debug assertions alone, and the host makes it an error.
const CONTAINED: &str = "task.decremented_interesting_task_count";

/// Panics of any thread but [`CONTAINED`], which a task of the runtime would swallow.
static PANICS: AtomicU64 = AtomicU64::new(0);

fn tight() -> PluginSpec {
    let limits = PluginLimits {
        wall_time_max: WALL_TIME,
        cpu_time_max: Duration::from_millis(100),
        readiness_time_max: Duration::from_millis(50),
        drain_time_max: Duration::from_millis(50),
        memory_bytes_max: 8 << 20,
        host_tensor_bytes_max: 4 << 20,
        ..PluginLimits::DEFAULT
    };
    let (server, service) = Server::start();
    // The model that guests can name answers at once, later, or never.
    server.serve("X", |request, sender| {
        let answer = InferResponse { outputs: request.inputs, ..Default::default() };
        match request.parameters.iter().count() % 3 {
            0 => sender.respond(Ok(answer)),
            1 => {
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    sender.respond(Ok(answer));
                });
            }
            _ => sender.respond(Err(InferError::unavailable("not now"))),
        }
    });
    // The server lives as long as the process: the handle that guests have is weak.
    mem::forget(server);
    PluginSpec { limits, service, ..spec() }
}

/// A plugin with random code, and what is asked of it; then the neighbour.
fn with_plugin(world: &'static str, random: &mut Random, ask: impl FnOnce(&Arc<Plugin>)) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !info.payload_as_str().is_some_and(|text| text.contains(CONTAINED)) {
                PANICS.fetch_add(1, Ordering::SeqCst);
                before(info);
            }
        }));
    });
    let _within = RUNTIME.enter();
    let component = Shape::of(world).component(random);
    let spec = PluginSpec { decoupled: random.chance(50), ..tight() };
    ask(&Plugin::new(&ENGINE, compile(&component), spec));
    let answer = RUNTIME.block_on(NEIGHBOUR.run(&request(&[4.0, 2.0]), || false));
    assert_eq!(values(&answer.unwrap()), [4.0, 2.0], "the neighbour's answer");
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "something panicked beside");
}

/// What became of everything that a test did: one that only fails reaches little.
#[derive(Default)]
struct Tally {
    well: AtomicU64,
    badly: AtomicU64,
}

// === impl Tally ===

impl Tally {
    const fn new() -> Self {
        Self { well: AtomicU64::new(0), badly: AtomicU64::new(0) }
    }

    /// Does something that ends within the limits of a call, with an error that says something if with any.
    fn ends<T, E: Display>(&self, what: &str, act: impl FnOnce() -> Result<T, E>) -> Option<T> {
        let started = Instant::now();
        let ended = act();
        let counted = if ended.is_ok() { &self.well } else { &self.badly };
        counted.fetch_add(1, Ordering::Relaxed);
        assert!(started.elapsed() < WALL_TIME + SLACK, "{what} took {:?}", started.elapsed());
        let text = ended.as_ref().err().map(ToString::to_string);
        assert!(
            text.is_none_or(|text| !text.is_empty() && (!text.contains("panicked") || text.contains(CONTAINED))),
            "{what}: {:?}",
            ended.err().map(|error| error.to_string())
        );
        ended.ok()
    }

    /// All seeds are done.
    fn check(&self) {
        let [well, badly] = [&self.well, &self.badly].map(|count| count.load(Ordering::Relaxed));
        println!("{well} things went well, and {badly} did not");
        let is_replay = std::env::var_os("NEREID_SEED").is_some();
        assert!(is_replay || (well > SEEDS / 4 && badly > SEEDS / 4), "{well} things went well, and {badly} did not");
    }
}

#[test]
fn one_function() {
    static TALLY: Tally = Tally::new();
    for_every_random(SEEDS, |random| {
        with_plugin("transform-plugin", random, |plugin| {
            let Some(pool) = TALLY.ends("start", || SandboxPool::start(plugin.clone(), "m_0_0")) else { return };
            for length in 0..4 {
                let asked = request(&vec![1.0; length]);
                TALLY.ends("run", || RUNTIME.block_on(pool.run(&asked, || false)));
            }
        });
    });
    TALLY.check();
}

/// Executes two batches; whoever is to answer is waited for, for no longer than a call may take.
fn execute(tally: &Tally, plugin: &Arc<Plugin>) {
    let Some(mut guest) = tally.ends("start", || ModelGuest::start(plugin.clone(), "m_0_0")) else { return };
    for count in 1..3 {
        let requests: Vec<_> = (0..count).map(|_| request(&[1.0, 2.0])).collect();
        let (senders, streams): (Vec<_>, Vec<_>) = requests.iter().map(|_| response_channel()).unzip();
        let answered = async {
            let outcomes = guest.execute(&requests.iter().collect::<Vec<_>>(), senders).await;
            assert_eq!(outcomes.len(), count, "every request has an outcome");
            for outcome in outcomes {
                match outcome {
                    Outcome::Answered(sender, answer) => sender.respond(answer),
                    Outcome::Elsewhere => {}
                    Outcome::Rescheduled(sender, _) => sender.finish(),
                }
            }
            for mut stream in streams {
                while stream.next().await.is_some_and(|delivery| !delivery.last) {}
            }
            Ok::<_, InferError>(())
        };
        tally.ends("execute", || RUNTIME.block_on(answered));
    }
    tally.ends("readiness", || plugin.readiness());
    plugin.retire();
}

#[test]
fn batches() {
    static TALLY: Tally = Tally::new();
    for_every_random(SEEDS, |random| with_plugin("model-plugin", random, |plugin| execute(&TALLY, plugin)));
    TALLY.check();
}

#[test]
fn the_whole_life_of_a_model() {
    static TALLY: Tally = Tally::new();
    for_every_random(SEEDS, |random| {
        with_plugin("full-model-plugin", random, |plugin| {
            TALLY.ends("completion", || ask_for_completion(plugin, &ConfigDraft::default()));
            execute(&TALLY, plugin);
        });
    });
    TALLY.check();
}

#[test]
fn the_whole_life_of_a_model_that_awaits() {
    static TALLY: Tally = Tally::new();
    for_every_random(SEEDS, |random| {
        with_plugin("full-async-model-plugin", random, |plugin| {
            TALLY.ends("completion", || ask_for_completion(plugin, &ConfigDraft::default()));
            execute(&TALLY, plugin);
        });
    });
    TALLY.check();
}

#[test]
fn agents() {
    static TALLY: Tally = Tally::new();
    for_every_random(SEEDS, |random| {
        let parameters = BTreeMap::from([("X".to_owned(), "1".to_owned())]);
        with_plugin("agent-plugin", random, |plugin| {
            for action in [AgentAction::Load, AgentAction::LoadComplete, AgentAction::Unload] {
                let task = AgentTask { action, model: "m", config: "{}", parameters: &parameters };
                TALLY.ends("act", || ask_agent(plugin, &task));
            }
        });
    });
    TALLY.check();
}

#[test]
fn batching_strategies() {
    static TALLY: Tally = Tally::new();
    for_every_random(SEEDS, |random| {
        with_plugin("batching-plugin", random, |plugin| {
            let told = StrategyModel { batch_rows_max: 4, config: "{}".to_owned() };
            let Some(strategy) = TALLY.ends("start", || PluginStrategy::start(plugin.clone(), told)) else { return };
            let input = InputProfile { name: "X".into(), data_type: DataType::Fp32, shape: [1, 2].into(), bytes: 8 };
            let profile = RequestProfile { id: "one".to_owned(), rows: 1, inputs: vec![input], ..Default::default() };
            for begins in [true, false, true] {
                TALLY.ends("consider", || {
                    RUNTIME.block_on(async { Ok::<_, InferError>(strategy.consider(&profile, begins).await) })
                });
            }
            TALLY.ends("formed", || {
                RUNTIME.block_on(strategy.formed());
                Ok::<_, InferError>(())
            });
        });
    });
    TALLY.check();
}
