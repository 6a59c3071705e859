//! Each rule of the ledger by itself; `simulation.rs` mixes them.

use super::*;

fn facts(name: &str, files_bytes: u64, instances: u64) -> LoadFacts {
    LoadFacts { model: ModelIdentity::new(name, 1), runtime: "known".to_owned(), files_bytes, instances }
}

fn measured(shared_bytes: u64, instance_bytes: u64, surplus_bytes: u64) -> Measured {
    Measured { footprint: Footprint { shared_bytes, instance_bytes }, surplus_bytes }
}

/// A ledger of 100 in whose process the runtime is.
fn ledger(learned_max: usize) -> Ledger {
    let mut ledger = Ledger::new(100, learned_max);
    let (id, _) = ledger.reserve(facts("first", 0, 1)).unwrap();
    ledger.settle(id, measured(0, 0, 0)).unwrap();
    ledger.release(id);
    ledger
}

/// A ledger of 100 in which `name` is loaded.
fn with_loaded(name: &str, instances: u64, outcome: Measured) -> (Ledger, EntryId) {
    let mut ledger = ledger(10);
    let (id, _) = ledger.reserve(facts(name, 10, instances)).unwrap();
    ledger.settle(id, outcome).unwrap();
    (ledger, id)
}

#[test]
fn a_first_load_reserves_the_size_of_its_files_and_pays_what_it_took() {
    let mut ledger = ledger(10);
    let (id, estimate) = ledger.reserve(facts("a", 40, 2)).unwrap();
    assert_eq!((estimate.peak_bytes, estimate.basis), (40, Basis::Files));
    assert_eq!(ledger.usage(), Usage { models: 0, loading: 40, in_flight: 0 });
    ledger.settle(id, measured(10, 5, 30)).unwrap();
    assert_eq!(ledger.usage(), Usage { models: 20, loading: 0, in_flight: 0 });
    ledger.release(id);
    assert_eq!((ledger.usage().total(), ledger.released_bytes()), (0, 20));
}

#[test]
fn the_next_load_reserves_what_the_last_one_showed_for_its_own_instances() {
    let (mut ledger, id) = with_loaded("a", 2, measured(10, 5, 30));
    let estimate = ledger.estimate(&facts("a", 10, 4));
    assert_eq!((estimate.peak_bytes, estimate.resting_bytes, estimate.basis), (60, 30, Basis::LastLoad));
    ledger.release(id);
    assert_eq!(ledger.estimate(&facts("a", 10, 1)).peak_bytes, 45);
    assert_eq!(ledger.estimate(&facts("a", 11, 1)).basis, Basis::Files, "other files are another model");
}

#[test]
fn a_load_that_would_pass_the_budget_is_refused_before_it_begins() {
    let (mut ledger, _) = with_loaded("a", 1, measured(70, 0, 0));
    let refusal = ledger.reserve(facts("b", 31, 1)).unwrap_err();
    assert_eq!((refusal.reason, refusal.wanted_bytes, refusal.basis), (Reason::Load, 31, Basis::Files));
    assert_eq!(refusal.largest, [(ModelIdentity::new("a", 1), 70)]);
    assert_eq!(ledger.usage().loading, 0);
    assert!(ledger.reserve(facts("b", 30, 1)).is_ok());
    assert_eq!(ledger.figures().refusals, [("load", 1), ("measured", 0), ("instances", 0), ("request", 0)]);
}

#[test]
fn a_load_that_took_too_much_is_refused_and_remembered() {
    let (mut ledger, _) = with_loaded("a", 1, measured(50, 0, 0));
    let (id, _) = ledger.reserve(facts("b", 10, 1)).unwrap();
    let refusal = ledger.settle(id, measured(51, 0, 0)).unwrap_err();
    assert_eq!((refusal.reason, refusal.wanted_bytes), (Reason::Measured, 51));
    assert_eq!(ledger.usage(), Usage { models: 50, loading: 10, in_flight: 0 }, "it is there until it is dropped");
    ledger.release(id);
    assert_eq!(ledger.usage().total(), 50);
    assert_eq!(ledger.reserve(facts("b", 10, 1)).unwrap_err().basis, Basis::LastLoad);
}

#[test]
fn what_is_there_for_a_moment_needs_room_before_and_is_not_charged_after() {
    let (mut ledger, id) = with_loaded("a", 1, measured(40, 0, 55));
    assert_eq!(ledger.usage().models, 40);
    ledger.admit(10).unwrap();
    ledger.release(id);
    let refusal = ledger.reserve(facts("a", 10, 1)).unwrap_err();
    assert_eq!(refusal.wanted_bytes, 95);
    ledger.finish(10);
    assert!(ledger.reserve(facts("a", 10, 1)).is_ok());
}

#[test]
fn instances_come_for_what_the_others_took_and_go_for_it() {
    let (mut ledger, id) = with_loaded("a", 2, measured(10, 20, 0));
    ledger.resize(id, 4).unwrap();
    assert_eq!((ledger.usage().models, ledger.instances(id)), (90, Some(4)));
    let refusal = ledger.resize(id, 5).unwrap_err();
    assert_eq!((refusal.reason, refusal.wanted_bytes), (Reason::Instances, 20));
    assert_eq!(ledger.instances(id), Some(4));
    ledger.resize(id, 1).unwrap();
    assert_eq!((ledger.usage().models, ledger.released_bytes()), (30, 60));
    ledger.release(id);
    assert_eq!(ledger.usage().total(), 0);
}

#[test]
fn requests_share_what_models_leave() {
    let (mut ledger, _) = with_loaded("a", 1, measured(60, 0, 0));
    ledger.admit(30).unwrap();
    let refusal = ledger.admit(11).unwrap_err();
    assert_eq!((refusal.reason, refusal.usage.in_flight), (Reason::Request, 30));
    ledger.admit(10).unwrap();
    assert_eq!(ledger.reserve(facts("b", 1, 1)).unwrap_err().reason, Reason::Load);
    ledger.finish(30);
    assert_eq!(ledger.figures().in_flight_bytes, 10);
}

#[test]
fn two_generations_of_a_version_are_charged_both_and_shown_together() {
    let (mut ledger, old) = with_loaded("a", 1, measured(40, 0, 0));
    let (new, _) = ledger.reserve(facts("a", 10, 1)).unwrap();
    ledger.settle(new, measured(41, 0, 0)).unwrap();
    assert_eq!(ledger.figures().models, BTreeMap::from([(ModelIdentity::new("a", 1), 81)]));
    ledger.release(old);
    assert_eq!(ledger.figures().models, BTreeMap::from([(ModelIdentity::new("a", 1), 41)]));
}

#[test]
fn a_load_that_nobody_measured_pays_what_was_expected_when_it_began() {
    let mut ledger = ledger(10);
    let (first, estimate) = ledger.reserve(facts("a", 30, 1)).unwrap();
    let (second, _) = ledger.reserve(facts("a", 30, 1)).unwrap();
    ledger.settle(second, measured(65, 0, 0)).unwrap();
    ledger.settle_unmeasured(first, estimate);
    assert_eq!(ledger.usage(), Usage { models: 95, loading: 0, in_flight: 0 });
}

#[test]
fn the_version_that_was_loaded_longest_ago_is_forgotten_first() {
    let mut ledger = ledger(2);
    for name in ["a", "b", "a", "c"] {
        let (id, _) = ledger.reserve(facts(name, 1, 1)).unwrap();
        ledger.settle(id, measured(2, 0, 0)).unwrap();
        ledger.release(id);
    }
    let basis = |name| ledger.estimate(&facts(name, 1, 1)).basis;
    assert_eq!(["a", "b", "c"].map(basis), [Basis::LastLoad, Basis::Files, Basis::LastLoad]);
}

#[test]
fn what_a_library_took_that_came_along_is_charged_once_and_expected_of_no_later_load() {
    let mut ledger = Ledger::new(100, 10);
    let (id, _) = ledger.reserve(facts("a", 10, 1)).unwrap();
    ledger.settle(id, measured(90, 0, 0)).unwrap();
    assert_eq!(ledger.usage().models, 90);
    ledger.release(id);
    assert_eq!(ledger.estimate(&facts("a", 10, 1)).basis, Basis::Files);
    let (id, _) = ledger.reserve(facts("a", 10, 1)).unwrap();
    ledger.settle(id, measured(20, 0, 0)).unwrap();
    ledger.release(id);
    assert_eq!(ledger.estimate(&facts("a", 10, 1)).peak_bytes, 20);
}

#[test]
fn a_model_that_does_not_fit_with_its_library_may_fit_without() {
    let mut ledger = Ledger::new(100, 10);
    let (id, _) = ledger.reserve(facts("a", 10, 1)).unwrap();
    assert_eq!(ledger.settle(id, measured(101, 0, 0)).unwrap_err().basis, Basis::FirstOfRuntime);
    ledger.release(id);
    let (id, _) = ledger.reserve(facts("a", 10, 1)).unwrap();
    ledger.settle(id, measured(99, 0, 0)).unwrap();
    let (other, _) = ledger.reserve(LoadFacts { runtime: "another".to_owned(), ..facts("b", 0, 1) }).unwrap();
    assert_eq!(ledger.settle(other, measured(2, 0, 0)).unwrap_err().basis, Basis::FirstOfRuntime);
}
