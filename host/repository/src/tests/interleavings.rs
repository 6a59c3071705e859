//! The swap of generations, under many orders in which those who ask, those who load and those who look can take their
//! steps: whoever asks gets a whole generation, never an older one after a newer one, and what nobody uses is let go.

use nereid_sync::{
    shuttle::{Config, Runner, scheduler::PctScheduler},
    thread,
};

use super::*;

/// Orders tried of each story; each writes a model's files anew.
const ORDERS: usize = 200;

/// How many times an order departs from running each thread as long as it can.
const DEPARTURES: usize = 4;

/// A load goes deeper than shuttle's usual 32 KiB, built without optimisation.
const STACK_BYTES: usize = 1 << 20;

/// A repository that serves generation 1 of `model`, and finds generation 2 on disk.
fn check(story: impl Fn(Arc<Repository>) + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    Runner::new(PctScheduler::new(DEPARTURES, ORDERS), config).run(move || {
        let models = Models::new();
        models.file_at("model/1/model.fake", "1", 1_000);
        let repository = models.repository(ControlMode::Explicit, &["model"]);
        repository.start().unwrap();
        models.file_at("model/1/model.fake", "2", 2_000);
        story(repository);
    });
}

/// Asks three times; returns the generations that answered, nothing for a refusal.
fn ask(repository: &Arc<Repository>) -> thread::JoinHandle<Vec<Option<u64>>> {
    let repository = repository.clone();
    thread::spawn(move || {
        let ask = |_| {
            let served = repository.model("model", None).ok()?;
            thread::yield_now();
            Some(served.statistics().execution_count)
        };
        (0..3).map(ask).collect()
    })
}

#[test]
fn whoever_asks_during_a_swap_gets_a_generation_and_never_an_older_one() {
    check(|repository| {
        let old = Arc::downgrade(&repository.model("model", None).unwrap());
        let asking = [ask(&repository), ask(&repository)];
        let watching = {
            let repository = repository.clone();
            // Whoever looks makes a route too: it must not take the place of a newer one.
            thread::spawn(move || [repository.index(), repository.index()])
        };
        repository.load("model", LoadOverrides::default()).unwrap();
        assert_eq!(generation(&repository, "model"), 2, "loaded, and not routed to");
        for asked in asking {
            let answers = asked.join().unwrap();
            assert!(answers.iter().all(Option::is_some) && answers.is_sorted(), "{answers:?}");
        }
        watching.join().unwrap();
        assert!(old.upgrade().is_none(), "somebody holds the old generation");
        assert_eq!(index(&repository), [LOADED]);
        assert_eq!(repository.server_state(), ServerState::Ready);
    });
}

#[test]
fn two_loads_of_one_model_follow_each_other() {
    check(|repository| {
        let load = |repository: Arc<Repository>| {
            thread::spawn(move || repository.load("model", LoadOverrides::default()).unwrap())
        };
        let (asking, loading) = (ask(&repository), [load(repository.clone()), load(repository.clone())]);
        for load in loading {
            load.join().unwrap();
        }
        let answers = asking.join().unwrap();
        assert!(answers.iter().all(Option::is_some) && answers.is_sorted(), "{answers:?}");
        assert_eq!((generation(&repository, "model"), index(&repository)), (2, vec![LOADED.to_owned()]));
    });
}

#[test]
fn what_is_unloaded_while_it_answers_is_let_go() {
    check(|repository| {
        let old = Arc::downgrade(&repository.model("model", None).unwrap());
        let asking = [ask(&repository), ask(&repository)];
        repository.unload("model", false).unwrap();
        assert!(repository.model("model", None).is_err(), "unloaded, and still routed to");
        for asked in asking {
            let answers = asked.join().unwrap();
            let first_refused = answers.iter().position(Option::is_none).unwrap_or(answers.len());
            assert!(answers[first_refused..].iter().all(Option::is_none), "gone, and back: {answers:?}");
        }
        assert!(old.upgrade().is_none(), "somebody holds the generation");
        assert_eq!(index(&repository), ["model:1 UNAVAILABLE unloaded"]);
    });
}
