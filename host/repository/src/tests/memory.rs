//! Loads that find no room in memory: who makes some, and who waits for it.

use std::time::{Duration, Instant};

use nereid_inference::InferResponse;

use super::{
    ondemand::{Served, answer, is_waiting, message},
    *,
};
use crate::OnDemand;

/// Models `a`, `b`, `c` and `d`, which take 5 each, an ensemble of `d`, and room for 10.
fn crowded(load_models: &[&str], wait_max: Duration) -> (Models, Served) {
    let models = Models::new();
    ["a", "b", "c", "d"].iter().for_each(|name| models.file(&format!("{name}/1/model.fake"), "takes 5"));
    models.file("e/config.pbtxt", &fake::ensemble(&["d"]));
    models.file("e/1/none", "");
    let loader = models.loader();
    *loader.room.lock() = 10;
    let mut settings = models.settings(ControlMode::OnDemand, load_models);
    settings.limits.ondemand_wait_max = wait_max;
    let service = OnDemand::new(Repository::new(settings, loader.clone()));
    assert!(service.start().unwrap().is_success());
    (models, Served { service, loader })
}

/// Waits until the index says why the model is not loaded.
fn until_reason(served: &Served, name: &str, part: &str) {
    let end = Instant::now() + LONG;
    while !served.service.index().iter().any(|entry| entry.name == name && entry.reason.contains(part)) {
        assert!(Instant::now() < end, "'{name}' has never '{part}' for a reason");
        thread::yield_now();
    }
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn the_least_recently_used_makes_room_in_memory() {
    let (_models, served) = crowded(&[], LONG);
    ["a", "b", "a", "c"].iter().for_each(|name| served.use_model(name));
    assert_eq!(served.loaded(), ["a", "c"]);
    assert_eq!(*served.loader.room.lock(), 0);
}

#[test]
fn an_ensemble_gets_room_for_its_member() {
    let (_models, served) = crowded(&[], LONG);
    ["a", "b"].iter().for_each(|name| served.use_model(name));
    served.use_model("e");
    assert_eq!(served.loaded(), ["b", "d", "e"]);
}

#[test]
fn a_load_waits_for_models_that_are_in_use() {
    let (_models, served) = crowded(&[], LONG);
    let first = served.ask("a");
    let in_a = served.reached();
    let second = served.ask("b");
    let in_b = served.reached();
    let mut waits = served.ask("c");
    // It has been tried.
    until_reason(&served, "c", "no room for 'c:1'");
    assert!(is_waiting(&mut waits));
    assert_eq!(served.loaded(), ["a", "b"]);
    drop(in_b.0);
    in_b.1.respond(Ok(InferResponse::default()));
    answer(second).unwrap();
    let in_c = served.reached();
    assert_eq!(served.loaded(), ["a", "c"], "the idle one has gone, though it was used later");
    in_c.1.respond(Ok(InferResponse::default()));
    answer(waits).unwrap();
    in_a.1.respond(Ok(InferResponse::default()));
    answer(first).unwrap();
}

#[test]
fn who_waited_in_vain_is_told_what_the_load_said() {
    let (_models, served) = crowded(&[], Duration::from_millis(500));
    let under_way = [served.ask("a"), served.ask("b")];
    let held = [served.reached(), served.reached()];
    let (kind, text) = message(answer(served.ask("c")));
    assert_eq!(kind, ErrorKind::Unavailable);
    let start = "model 'c' was not loaded within 0.5 s (--limit ondemand-wait); the models that could make room are in \
                 use: load failed for model 'c'";
    assert!(text.starts_with(start) && text.contains("no room for 'c:1'"), "{text}");
    held.into_iter().for_each(|(_, sender)| sender.respond(Ok(InferResponse::default())));
    under_way.into_iter().for_each(|stream| drop(answer(stream).unwrap()));
}

#[test]
fn a_load_for_which_nobody_can_make_room_fails_at_once() {
    let (_models, served) = crowded(&["a", "b"], LONG);
    let (kind, text) = message(answer(served.ask("c")));
    assert_eq!(kind, ErrorKind::Unavailable);
    assert!(text.starts_with("model 'c' cannot be loaded: ") && text.contains("no room for 'c:1'"), "{text}");
    assert_eq!(served.loaded(), ["a", "b"]);
}

/// `a` is loaded by name, `b` by a request, and there is another generation of `a`.
fn changed(wait_max: Duration) -> (Models, Served) {
    let (models, served) = crowded(&["a"], wait_max);
    served.use_model("b");
    models.file_at("a/1/model.fake", "takes 5", 10);
    (models, served)
}

#[test]
fn a_reload_gets_room_beside_the_generation_that_serves() {
    let (_models, served) = changed(LONG);
    served.service.load("a", LoadOverrides::default()).unwrap();
    assert_eq!(served.loader.take_loaded(), ["a:1", "b:1", "a:1"]);
    assert_eq!(served.loaded(), ["a"]);
    assert_eq!(*served.loader.room.lock(), 5, "the generation before has gone");
}

#[test]
fn a_reload_waits_for_models_that_are_in_use_while_its_model_serves() {
    let (_models, served) = changed(LONG);
    let in_use = served.ask("b");
    let in_b = served.reached();
    thread::scope(|scope| {
        let reload = scope.spawn(|| served.service.load("a", LoadOverrides::default()));
        until_reason(&served, "a", "no room for 'a:1'");
        served.use_model("a");
        assert!(!reload.is_finished());
        drop(in_b.0);
        in_b.1.respond(Ok(InferResponse::default()));
        answer(in_use).unwrap();
        reload.join().unwrap().unwrap();
    });
    assert_eq!(served.loaded(), ["a"]);
}

#[test]
fn a_reload_that_gets_no_room_in_time_says_so_and_changes_nothing() {
    let (_models, served) = changed(Duration::from_millis(300));
    let in_use = served.ask("b");
    let in_b = served.reached();
    let error = served.service.load("a", LoadOverrides::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let start = "model 'a' was not reloaded within 0.3 s (--limit ondemand-wait) and serves as before; the models that \
                 could make room are in use: load failed for model 'a'";
    assert!(error.message().starts_with(start) && error.message().contains("no room for 'a:1'"), "{error}");
    in_b.1.respond(Ok(InferResponse::default()));
    drop(in_b.0);
    answer(in_use).unwrap();
    // Asked for by name before, it still goes for nobody.
    served.use_model("c");
    assert_eq!(served.loaded(), ["a", "c"]);
}

#[test]
fn a_reload_for_which_nobody_can_make_room_fails_at_once() {
    let (models, served) = crowded(&["a", "b"], LONG);
    models.file_at("a/1/model.fake", "takes 5", 10);
    let error = served.service.load("a", LoadOverrides::default()).unwrap_err();
    assert_eq!((error.kind(), error.lacks_room()), (ErrorKind::ResourceExhausted, true));
    assert_eq!(served.loaded(), ["a", "b"]);
    served.use_model("a");
}

#[test]
fn a_load_by_name_says_that_it_was_room_that_was_missing_and_is_not_tried_again_for_it() {
    let models = Models::new();
    models.file("a/1/model.fake", "takes 5");
    let mut settings = models.settings(ControlMode::Explicit, &[]);
    settings.load_retry_count = 3;
    let repository = Repository::new(settings, models.loader());
    repository.start().unwrap();
    let error = repository.load("a", LoadOverrides::default()).unwrap_err();
    assert_eq!((error.kind(), error.lacks_room()), (ErrorKind::ResourceExhausted, true));
    let text = "load failed for model 'a': version 1 is at UNAVAILABLE state: Resource exhausted: no room for 'a:1';";
    assert_eq!(error.message(), text);
}
