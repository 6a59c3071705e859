//! Loads and requests as their callers see them, in a process whose memory is a number.

use std::time::Duration;

use nereid_inference::ErrorKind;

use super::*;
use crate::{Warmed, fake::FakeProcess};

const MIB: u64 = 1 << 20;

fn budget(mib: u64, process: &Arc<FakeProcess>) -> MemoryBudget {
    MemoryBudget::new(mib * MIB, MemoryLimits::default(), process.clone())
}

/// Loads a model whose shared part takes 20 MiB and 30 more for a moment, and whose instance takes 10.
fn load(budget: &MemoryBudget, process: &FakeProcess, name: &str) -> Result<ModelCharge, InferError> {
    let mut charge = budget.begin_load(&ModelIdentity::new(name, 1), "fake", (5 * MIB, 1))?;
    process.grow(50 * MIB);
    process.fall(30 * MIB);
    charge.shared_part_is_loaded();
    process.grow(10 * MIB);
    let warmed = Warmed { batch_bytes: 2 * MIB, row_output_bytes: 0 };
    let settled = charge.settle(warmed);
    if settled.is_err() {
        process.fall(30 * MIB);
    }
    settled.map(|()| charge)
}

#[test]
fn a_load_is_charged_what_the_process_grew_by_and_a_batch_for_its_instance() {
    let process = FakeProcess::new(100 * MIB);
    let budget = budget(200, &process);
    let charge = load(&budget, &process, "a").unwrap();
    assert_eq!(budget.figures().models, [(ModelIdentity::new("a", 1), 32 * MIB)].into());
    assert_eq!(charge.grow(3).unwrap(), 1);
    assert_eq!(budget.ledger().usage().models, 56 * MIB);
    charge.shrink(2);
    assert_eq!(budget.ledger().usage().models, 44 * MIB);
    drop(charge);
    assert_eq!(budget.ledger().usage().total(), 0);
}

#[test]
fn a_refused_load_says_who_what_for_what_is_used_and_what_to_do() {
    let process = FakeProcess::new(100 * MIB);
    let budget = budget(60, &process);
    let first = load(&budget, &process, "a").unwrap();
    let error = load(&budget, &process, "b").unwrap_err();
    assert_eq!((error.kind(), error.lacks_room()), (ErrorKind::ResourceExhausted, true));
    assert_eq!(
        error.message(),
        "model 'b' version 1 took 32.0 MiB when it was loaded, and of the memory budget of 60.0 MiB (--memory-budget) \
         are in use: models 32.0 MiB (largest: a:1 32.0 MiB), loads under way 5.0 MiB, requests 0 bytes; unload a \
         model, use fewer instances, or raise the budget"
    );
    let error = load(&budget, &process, "b").unwrap_err();
    assert!(error.message().contains("needs 52.0 MiB, as its last load has shown"), "{error}");
    drop(first);
    process.fall(30 * MIB);
    assert!(load(&budget, &process, "b").is_ok());
}

#[test]
fn a_load_that_no_room_would_help_is_of_another_kind() {
    let process = FakeProcess::new(MIB);
    let budget = budget(4, &process);
    let error = budget.begin_load(&ModelIdentity::new("a", 2), "fake", (5 * MIB, 1)).unwrap_err();
    assert_eq!((error.kind(), error.lacks_room()), (ErrorKind::InvalidArgument, false));
    assert_eq!(
        error.message(),
        "model 'a' version 2 needs 5.0 MiB, the size of its files, which is more than the whole memory budget of \
         4.0 MiB (--memory-budget); give it fewer instances, or raise the budget"
    );
}

#[test]
fn a_request_is_charged_until_its_ticket_is_gone() {
    let process = FakeProcess::new(MIB);
    let (budget, model) = (budget(10, &process), ModelIdentity::new("a", 1));
    let outer = budget.admit(&model, MIB, None, String::new).unwrap();
    let ticket = budget.admit(&model, 6 * MIB, Some(outer), String::new).unwrap();
    let error = budget.admit(&model, 4 * MIB, None, || "[request id: 7] ".to_owned()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(
        error.message(),
        "[request id: 7] Exceeds the memory budget: this request to model 'a' version 1 takes 4.0 MiB, and of the budget \
         of 10.0 MiB (--memory-budget) are in use: models 0 bytes, loads under way 0 bytes, requests 7.0 MiB; try again \
         when other requests are answered"
    );
    let copy = ticket.clone();
    drop(ticket);
    assert_eq!(budget.figures().in_flight_bytes, 7 * MIB);
    drop(copy);
    assert_eq!(budget.figures().in_flight_bytes, 0);
}

#[test]
fn a_load_beside_one_that_is_measured_goes_on_and_pays_its_estimate() {
    let process = FakeProcess::new(MIB);
    let limits = MemoryLimits { turn_wait_max: Duration::from_millis(1), ..MemoryLimits::default() };
    let budget = MemoryBudget::new(100 * MIB, limits, process.clone());
    let mut outer = budget.begin_load(&ModelIdentity::new("outer", 1), "fake", (9 * MIB, 1)).unwrap();
    // Its warm-up needs another model, which is loaded meanwhile.
    let mut inner = budget.begin_load(&ModelIdentity::new("inner", 1), "fake", (5 * MIB, 1)).unwrap();
    process.grow(7 * MIB);
    inner.settle(Warmed::default()).unwrap();
    outer.shared_part_is_loaded();
    process.grow(8 * MIB);
    outer.settle(Warmed::default()).unwrap();
    let models = budget.figures().models;
    assert_eq!(models.get(&ModelIdentity::new("inner", 1)), Some(&(5 * MIB)));
    assert_eq!(models.get(&ModelIdentity::new("outer", 1)), Some(&(10 * MIB)));
}

#[test]
fn a_load_that_fails_leaves_nothing_and_the_turn() {
    let process = FakeProcess::new(MIB);
    let budget = budget(100, &process);
    drop(budget.begin_load(&ModelIdentity::new("a", 1), "fake", (MIB, 1)).unwrap());
    assert_eq!(budget.ledger().usage().total(), 0);
    assert!(load(&budget, &process, "b").is_ok());
    assert!(budget.take_turn().is_some());
}

#[test]
fn where_nobody_tells_files_are_what_is_charged() {
    let process = FakeProcess::silent();
    let budget = budget(100, &process);
    let charge = load(&budget, &process, "a").unwrap();
    assert_eq!(budget.ledger().usage().models, 5 * MIB);
    drop(charge);
}
