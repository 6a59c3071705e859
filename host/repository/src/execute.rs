//! Carries a plan out: loads what was prepared, members first, several models at a time, and routes to what is ready.

use std::collections::{BTreeMap, BTreeSet};

use nereid_inference::InferError;
use parking_lot::{Condvar, Mutex};

use crate::{
    Repository,
    book::{Loaded, Retired, reason},
    ensembles,
    guard::guarded,
    order::{LoadOrder, Next},
    parallel,
    plan::{self, Plan},
    prepare::Prepared,
};

/// What became of each model of a plan.
pub(crate) type Outcomes = BTreeMap<String, Result<(), InferError>>;

impl Repository {
    /// Loads every model of the plan and returns when the last one is ready or has failed.
    pub(crate) fn execute(&self, plan: Plan) -> Outcomes {
        let _held = self.busy.hold(plan.keys().cloned().collect());
        self.change(|book| {
            for (name, prepared) in &plan {
                match prepared {
                    Ok(prepared) => book.begin_load(name, &prepared.versions),
                    Err(error) => book.fail(name, error.message()),
                }
            }
            Retired::new()
        });
        let order = Mutex::new(LoadOrder::new(&plan::members(&plan)));
        let changed = Condvar::new();
        let outcomes = Mutex::new(Outcomes::new());
        parallel::on_threads(self.settings.load_thread_count.min(plan.len()), || {
            while let Some(name) = next(&order, &changed) {
                if let Some(Ok(prepared)) = plan.get(&name) {
                    let outcome = self.load_model(&name, prepared);
                    outcomes.lock().insert(name.clone(), outcome);
                }
                order.lock().done(&name);
                changed.notify_all();
            }
        });
        let mut outcomes = outcomes.into_inner();
        let refused = plan.into_iter().filter_map(|(name, prepared)| Some((name, Err(prepared.err()?))));
        outcomes.extend(refused.inspect(|(name, outcome)| log_failure(name, outcome)));
        outcomes
    }

    /// Loads all versions of one model; they become ready together.
    fn load_model(&self, name: &str, prepared: &Prepared) -> Result<(), InferError> {
        prepared.warnings.iter().for_each(|warning| tracing::warn!("model '{name}': {warning}"));
        let members_ready = ensembles::check_members(&prepared.config, |member| self.book.lock().member(member));
        let loaded: Loaded = prepared
            .versions
            .iter()
            .map(|version| {
                tracing::info!("loading: {name}:{version}");
                let load = || self.loader.load(prepared.source(*version));
                (*version, members_ready.clone().and_then(|()| guarded("loading the model", load)))
            })
            .collect();
        let outcome = match &members_ready {
            Err(error) => Err(error.clone()),
            Ok(()) => summary(name, &loaded),
        };
        match &outcome {
            Ok(()) => tracing::info!("successfully loaded '{name}'"),
            Err(_) => log_failure(name, &outcome),
        }
        let members: BTreeSet<String> = ensembles::members(&prepared.config);
        self.change(|book| book.finish_load(name, members, loaded));
        outcome
    }
}

/// The next model to load; waits while its members are being loaded.
fn next(order: &Mutex<LoadOrder>, changed: &Condvar) -> Option<String> {
    let mut locked = order.lock();
    loop {
        match locked.next() {
            Next::Load(name) => return Some(name),
            Next::Done => return None,
            Next::Wait => changed.wait(&mut locked),
        }
    }
}

/// One result for all versions, in Triton's words.
fn summary(name: &str, loaded: &Loaded) -> Result<(), InferError> {
    let failed: Vec<String> = loaded
        .iter()
        .filter_map(|(version, result)| Some((version, result.as_ref().err()?)))
        .map(|(version, error)| format!("version {version} is at UNAVAILABLE state: {};", reason(error)))
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(InferError::invalid_argument(format!("load failed for model '{name}': {}", failed.join(" "))))
}

fn log_failure(name: &str, outcome: &Result<(), InferError>) {
    if let Err(error) = outcome {
        tracing::error!("failed to load '{name}': {}", reason(error));
    }
}
