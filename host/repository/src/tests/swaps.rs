//! What happens after a swap: who is watched goes or stays, sequences stay where they began, and the history tells of it.

use std::time::{Duration, Instant};

use nereid_inference::{GenerationState, InferRequest, LoadStep, SequenceFlags, SequenceId, SwapGuardSettings, Tally};

use super::{fake::FakeLoader, *};
use crate::model_id::ModelId;

/// A repository that serves `watched 1`, with the loader that a test tells how its generations fare.
struct Story {
    models: Models,
    loader: Arc<FakeLoader>,
    repository: Arc<Repository>,
}

impl Story {
    fn new(control_mode: ControlMode) -> Self {
        let models = Models::new();
        models.file_at("model/1/model.fake", "watched 1", 10);
        let loader = models.loader();
        let repository = Repository::new(models.settings(control_mode, &["model"]), loader.clone());
        assert!(repository.start().unwrap().is_success());
        Self { models, loader, repository }
    }

    fn write(&self, text: &str, seconds: u64) {
        self.models.file_at("model/1/model.fake", text, seconds);
    }

    fn swap(&self, generation: u64) {
        self.write(&format!("watched {generation}"), 10 + generation);
        self.repository.load("model", LoadOverrides::default()).unwrap();
    }

    /// So many requests of a generation, all of which failed.
    fn fails(&self, generation: u64) {
        let mut tally = Tally::default();
        for _ in 0..100 {
            tally.record(Duration::from_millis(1));
            tally.record_failure();
        }
        self.loader.tallies.lock().insert(generation, tally);
    }

    fn generation(&self) -> u64 {
        generation(&self.repository, "model")
    }

    /// As `number requested_by state`.
    fn history(&self) -> Vec<String> {
        let history = self.repository.history("model").unwrap();
        let generations = history[0].generations.iter();
        let line = |record: &nereid_inference::GenerationRecord| {
            format!("{} {} {}", record.number, record.requested_by, record.state.name())
        };
        generations.map(line).collect()
    }

    /// Which generation answers a request of a sequence; `^` starts it, `$` ends it.
    fn ask(&self, request: &str) -> String {
        let served = self.repository.model("model", None).unwrap();
        ask(&*served, request)
    }
}

fn ask(served: &dyn nereid_inference::ServedModel, request: &str) -> String {
    let id = SequenceId::Text(request[..1].to_owned());
    let sequence = Some(SequenceFlags { id, start: request.contains('^'), end: request.contains('$') });
    let mut stream = served.infer(InferRequest { sequence, ..InferRequest::new(vec![]) });
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match stream.poll_next(&mut context) {
        std::task::Poll::Ready(Some(delivery)) => delivery.response.unwrap().unwrap_err().message().to_owned(),
        _ => "nothing".to_owned(),
    }
}

#[test]
fn a_generation_that_fails_goes_and_the_one_before_is_back() {
    let story = Story::new(ControlMode::Explicit);
    let now = Instant::now();
    assert!(!story.repository.look_at_swaps(now), "nobody took another's place yet");
    story.swap(2);
    assert!(story.repository.look_at_swaps(now));
    assert_eq!((story.generation(), story.history()), (2, vec!["1 start retired".into(), "2 request watched".into()]));
    story.fails(2);
    story.repository.look_at_swaps(now);
    assert_eq!(story.generation(), 1);
    assert_eq!(story.history(), ["1 start serving", "2 request rolled_back"]);
    let why = "100.0 % of 100 requests failed, 0.0 % of 0 before: more than 10 points worse (swap_guard_error_percent)";
    assert_eq!(index(&story.repository), [format!("model:1 READY generation 2 was rolled back: {why}")]);
    assert_eq!(story.repository.server_state(), ServerState::Ready);
    assert!(!story.repository.look_at_swaps(now), "there is nothing to go back to any more");
    assert_eq!(story.generation(), 1);

    story.swap(3);
    assert_eq!((story.generation(), index(&story.repository)), (3, vec![LOADED.to_owned()]));
}

#[test]
fn a_generation_that_fares_well_stays_and_the_one_before_is_let_go() {
    let story = Story::new(ControlMode::Explicit);
    let old = Arc::downgrade(&story.repository.book.lock().standing(&ModelId::plain("model")).unwrap().served[&1]);
    story.swap(2);
    let now = Instant::now();
    story.repository.look_at_swaps(now);
    assert!(old.upgrade().is_some(), "it is kept warm");
    assert!(!story.repository.look_at_swaps(now + SwapGuardSettings::DEFAULT.window));
    assert!(old.upgrade().is_none());
    story.fails(2);
    story.repository.look_at_swaps(now + SwapGuardSettings::DEFAULT.window * 2);
    assert_eq!((story.generation(), story.history()[1].clone()), (2, "2 request serving".to_owned()));
}

#[test]
fn the_history_tells_which_steps_a_load_took_and_how_long() {
    let story = Story::new(ControlMode::Explicit);
    story.swap(2);
    let times =
        || story.repository.history("model").unwrap()[0].generations.iter().map(|load| load.times.clone()).collect();
    let before: Vec<nereid_inference::LoadTimes> = times();
    for times in &before {
        assert_eq!(times.keys().copied().collect::<Vec<_>>(), [LoadStep::Check, LoadStep::Swap]);
        assert!(times.values().all(|took| *took > Duration::ZERO));
    }
    story.repository.load("model", LoadOverrides::default()).unwrap();
    assert_eq!(times(), before, "nothing has changed, so nothing was loaded");
    story.write("error of its own", 20);
    story.repository.load("model", LoadOverrides::default()).unwrap_err();
    let failed = times().pop().unwrap();
    assert_eq!(failed.keys().copied().collect::<Vec<_>>(), [LoadStep::Check], "what failed takes nobody's place");
}

#[test]
fn of_many_swaps_only_the_one_before_is_kept() {
    let story = Story::new(ControlMode::Explicit);
    let mut seen = Vec::new();
    for generation in 2..10 {
        seen.push(Arc::downgrade(&story.repository.book.lock().standing(&ModelId::plain("model")).unwrap().served[&1]));
        story.swap(generation);
        assert!(seen.iter().filter(|old| old.upgrade().is_some()).count() <= 1);
    }
    story.repository.unload("model", false).unwrap();
    assert!(seen.iter().all(|old| old.upgrade().is_none()), "an unload lets everything go");
    assert_eq!(index(&story.repository), ["model:1 UNAVAILABLE unloaded"]);
    assert!(!story.repository.look_at_swaps(Instant::now()));
}

#[test]
fn what_was_rolled_back_is_not_loaded_again_because_its_file_was_touched() {
    let story = Story::new(ControlMode::Poll);
    story.write("watched 2", 11);
    story.repository.poll().unwrap();
    story.fails(2);
    story.repository.look_at_swaps(Instant::now());
    assert_eq!(story.generation(), 1);
    story.repository.poll().unwrap();
    story.write("watched 2", 12);
    story.repository.poll().unwrap();
    assert_eq!(story.generation(), 1);
    let reason = &story.repository.index()[0].reason;
    assert!(reason.contains("this file (BLAKE3 digest of 2) with this configuration was rolled back"), "{reason}");
    assert_eq!(story.history(), ["1 start serving", "2 poll rolled_back", "3 poll failed"]);
    story.models.file_at("model/config.pbtxt", "max_batch_size: 4", 12);
    story.repository.poll().unwrap();
    assert_eq!(story.generation(), 2, "with another configuration it is another model");
}

#[test]
fn a_new_version_that_fails_gives_way_to_the_version_before() {
    let story = Story::new(ControlMode::Explicit);
    story.models.file_at("model/2/model.fake", "watched 2", 11);
    story.repository.load("model", LoadOverrides::default()).unwrap();
    assert_eq!(index(&story.repository), ["model:1 UNLOADING", "model:2 READY"]);
    story.fails(2);
    story.repository.look_at_swaps(Instant::now());
    let lines = index(&story.repository);
    assert!(lines[0].starts_with("model:1 READY generation 2 was rolled back: "), "{lines:?}");
    assert_eq!(lines[1], "model:2 UNAVAILABLE unloaded");
    assert_eq!(story.generation(), 1);
}

#[test]
fn a_rollback_that_is_asked_for_is_immediate_while_the_one_before_is_warm() {
    let story = Story::new(ControlMode::Explicit);
    let error = story.repository.roll_back("model", "me").unwrap_err();
    assert!(error.message().starts_with("model 'model' has no generation before the one it serves"), "{error}");
    story.swap(2);
    story.loader.take_loaded();
    story.repository.roll_back("model", "me").unwrap();
    assert_eq!((story.generation(), story.loader.take_loaded()), (1, vec![]));
    assert_eq!(index(&story.repository), ["model:1 READY generation 2 was rolled back: asked for by me"]);
    assert_eq!(story.repository.roll_back("other", "me").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_rollback_loads_what_was_sent_before_and_refuses_what_is_gone() {
    let story = Story::new(ControlMode::Explicit);
    let push = |text: &str| {
        let files = [("1/model.fake".to_owned(), text.as_bytes().to_vec().into())].into();
        let sent = LoadOverrides { files, overlay: true, requested_by: "push".into(), ..LoadOverrides::default() };
        story.repository.load("model", sent).unwrap();
        let window = SwapGuardSettings::DEFAULT.window;
        assert!(!story.repository.look_at_swaps(Instant::now() + window * 2));
    };
    push("watched 2");
    push("watched 3");
    story.repository.roll_back("model", "me").unwrap();
    assert_eq!(story.generation(), 2);
    let expected = ["1 start retired", "2 push retired", "3 push rolled_back", "4 rollback by me watched"];
    assert_eq!(story.history(), expected);

    let story = Story::new(ControlMode::Explicit);
    story.swap(2);
    story.repository.look_at_swaps(Instant::now() + SwapGuardSettings::DEFAULT.window * 2);
    let error = story.repository.roll_back("model", "me").unwrap_err();
    assert!(error.message().starts_with("generation 1 of model 'model' was loaded from "), "{error}");
    assert_eq!(story.generation(), 2);
}

#[test]
fn files_are_laid_over_those_that_are_served() {
    let story = Story::new(ControlMode::Explicit);
    story.models.file_at("model/config.pbtxt", "max_batch_size: 3", 10);
    story.models.file_at("model/plugin.toml", "mine", 10);
    story.repository.load("model", LoadOverrides::default()).unwrap();
    let files = [("1/model.fake".to_owned(), "watched 7".into())].into();
    story.repository.load("model", LoadOverrides { files, overlay: true, ..LoadOverrides::default() }).unwrap();
    let standing = story.repository.book.lock().standing(&ModelId::plain("model")).unwrap();
    assert_eq!(std::fs::read_to_string(standing.source.directory.join("plugin.toml")).unwrap(), "mine");
    assert!(!standing.source.directory.starts_with(story.models.path()));
    assert_eq!((story.generation(), standing.served[&1].config().max_batch_size), (7, 3));
    let sent = LoadOverrides { overlay: true, ..LoadOverrides::default() };
    let error = story.repository.load("other", sent).unwrap_err();
    assert!(error.message().contains("there is nothing of model 'other' to lay files over"), "{error}");
}

#[test]
fn a_failed_update_is_seen_in_the_index_until_one_succeeds() {
    let story = Story::new(ControlMode::Explicit);
    story.write("error torn", 11);
    assert!(story.repository.load("model", LoadOverrides::default()).is_err());
    let failed = "model:1 READY the last update failed, what was served before still is: Internal: torn";
    assert_eq!(index(&story.repository), [failed]);
    assert_eq!(story.history(), ["1 start serving", "2 request failed"]);
    let record = story.repository.history("model").unwrap()[0].generations[1].clone();
    assert_eq!(record.state, GenerationState::Failed { reason: "Internal: torn".to_owned() });
    story.swap(2);
    assert_eq!(index(&story.repository), [LOADED]);
}

#[test]
fn sequences_stay_where_they_began_in_both_directions() {
    let story = Story::new(ControlMode::Explicit);
    assert_eq!(story.ask("a^"), "generation 1");
    story.swap(2);
    assert_eq!(
        (story.ask("a"), story.ask("b^"), story.ask("c")),
        ("generation 1".into(), "generation 2".into(), "not started".into())
    );
    story.swap(3);
    assert_eq!(
        (story.ask("a"), story.ask("b"), story.ask("c^")),
        ("generation 1".into(), "generation 2".into(), "generation 3".into())
    );
    story.fails(3);
    story.repository.look_at_swaps(Instant::now());
    assert_eq!(
        (story.ask("a"), story.ask("b"), story.ask("c")),
        ("generation 1".into(), "generation 2".into(), "generation 3".into())
    );
    assert_eq!(
        (story.ask("d^$"), story.ask("a$"), story.ask("c$")),
        ("generation 2".into(), "generation 1".into(), "generation 3".into())
    );
    assert!(!story.repository.look_at_swaps(Instant::now()), "nobody is kept for a sequence that is over");
}

#[test]
fn a_sequence_that_begins_with_a_look_up_before_the_swap_is_kept_too() {
    let story = Story::new(ControlMode::Explicit);
    let looked_up = story.repository.model("model", None).unwrap();
    for generation in 2..4 {
        story.swap(generation);
    }
    assert_eq!(ask(&*looked_up, "a^"), "generation 1");
    drop(looked_up);
    assert_eq!(
        (story.ask("a"), story.ask("a$"), story.ask("a")),
        ("generation 1".into(), "generation 1".into(), "not started".into())
    );
}
