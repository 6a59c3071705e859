//! Models loaded by their first request, over a loader that only pretends and requests that the test answers.

use std::{
    sync::mpsc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use nereid_inference::{InferError, InferRequest, InferResponse, ResponseStream};

use super::{fake::FakeLoader, *};
use crate::OnDemand;

/// Longer than any scheduling hiccup; only a broken test waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Served {
    pub(super) service: Arc<OnDemand>,
    pub(super) loader: Arc<FakeLoader>,
}

struct Unparker(thread::Thread);

impl Wake for Unparker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The one response of a stream.
pub(super) fn answer(mut stream: ResponseStream) -> Result<InferResponse, InferError> {
    let waker = Waker::from(Arc::new(Unparker(thread::current())));
    loop {
        match stream.poll_next(&mut Context::from_waker(&waker)) {
            Poll::Ready(delivery) => return delivery.unwrap().response.unwrap(),
            Poll::Pending => thread::park_timeout(PATIENCE),
        }
    }
}

pub(super) fn is_waiting(stream: &mut ResponseStream) -> bool {
    stream.poll_next(&mut Context::from_waker(Waker::noop())).is_pending()
}

/// Models `a`, `b`, `c`, `d`, of which `max` may be loaded.
fn models() -> Models {
    let models = Models::new();
    ["a", "b", "c", "d"].iter().for_each(|name| models.file(&format!("{name}/1/model.fake"), "1"));
    models
}

impl Served {
    fn new(models: &Models, max: usize, load_models: &[&str]) -> Self {
        Self::with(models, max, load_models, |_| ())
    }

    fn with(
        models: &Models,
        max: usize,
        load_models: &[&str],
        change: impl FnOnce(&mut crate::RepositoryLimits),
    ) -> Self {
        let mut settings = models.settings(ControlMode::OnDemand, load_models);
        settings.limits.ondemand_models_max = max;
        change(&mut settings.limits);
        let loader = models.loader();
        let service = OnDemand::new(Repository::new(settings, loader.clone()));
        assert!(service.start().unwrap().is_success());
        Self { service, loader }
    }

    pub(super) fn ask(&self, name: &str) -> ResponseStream {
        self.service.model(name, None).unwrap().infer(InferRequest::new(Vec::new()))
    }

    /// The next request that reached a model.
    pub(super) fn reached(&self) -> (InferRequest, nereid_inference::ResponseSender) {
        let end = std::time::Instant::now() + PATIENCE;
        loop {
            if let Some(held) = self.loader.held.lock().pop() {
                return held;
            }
            assert!(std::time::Instant::now() < end, "no request reached a model");
            thread::yield_now();
        }
    }

    /// A whole request.
    pub(super) fn use_model(&self, name: &str) {
        let stream = self.ask(name);
        let (request, sender) = self.reached();
        drop(request);
        sender.respond(Ok(InferResponse::default()));
        answer(stream).unwrap();
    }

    pub(super) fn loaded(&self) -> Vec<String> {
        let ready = self.service.index().into_iter().filter(|entry| entry.state == Some(ModelState::Ready));
        ready.map(|entry| entry.name).collect()
    }

    fn reason(&self, name: &str) -> String {
        let entry = self.service.index().into_iter().find(|entry| entry.name == name).unwrap();
        assert_eq!(entry.state, Some(ModelState::Unavailable));
        entry.reason
    }

    fn take_loaded(&self) -> Vec<String> {
        self.loader.take_loaded()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.service.close();
    }
}

pub(super) fn message(result: Result<InferResponse, InferError>) -> (ErrorKind, String) {
    let error = result.unwrap_err();
    (error.kind(), error.message().to_owned())
}

#[test]
fn nothing_is_loaded_before_it_is_wanted_and_everything_is_ready() {
    let models = models();
    let served = Served::new(&models, 2, &["b"]);
    assert_eq!(served.take_loaded(), ["b:1"]);
    assert_eq!(served.service.server_state(), ServerState::Ready);
    assert_eq!(served.reason("a"), "not loaded: its first request loads it");
    let standin = served.service.model("a", None).unwrap();
    assert_eq!((standin.identity().to_string().as_str(), standin.config().backend.as_str()), ("a:1", "fake"));
    assert_eq!(standin.statistics().execution_count, 0);
    assert_eq!(served.service.ready_models(None).len(), 4);
    assert!(served.take_loaded().is_empty());
    served.use_model("a");
    assert_eq!(served.take_loaded(), ["a:1"]);
    assert_eq!(standin.statistics().execution_count, 1, "the fake's generation");
    served.use_model("a");
    assert!(served.take_loaded().is_empty());
}

#[test]
fn unknown_names_and_versions_are_refused_as_always() {
    let models = models();
    models.file("odd/config.pbtxt", "max_batchsize: 1");
    let served = Served::new(&models, 2, &[]);
    let refused = |name: &str, version| {
        let Err(error) = served.service.model(name, version) else { panic!("{name} is served") };
        (error.kind(), error.message().to_owned())
    };
    assert_eq!(refused("gone", None), (ErrorKind::NotFound, "Request for unknown model: 'gone' is not found".into()));
    assert_eq!(
        refused("a", Some(7)),
        (ErrorKind::NotFound, "Request for unknown model: 'a' version 7 is not found".into())
    );
    let (kind, text) = refused("odd", None);
    assert!(kind == ErrorKind::Unavailable && text.contains("did you mean 'max_batch_size'?"), "{text}");
    assert!(served.reason("odd").contains("max_batch_size"));
    assert_eq!(served.service.server_state(), ServerState::Ready);
}

#[test]
fn requests_that_come_while_a_model_is_loaded_share_the_load() {
    let models = models();
    let served = Served::new(&models, 2, &[]);
    let gate = served.loader.gate.lock();
    let mut streams: Vec<ResponseStream> = (0..5).map(|_| served.ask("a")).collect();
    assert!(streams.iter_mut().all(is_waiting));
    drop(streams.pop());
    drop(gate);
    for _ in 0..4 {
        served.reached().1.respond(Ok(InferResponse::default()));
    }
    streams.into_iter().for_each(|stream| assert!(answer(stream).is_ok()));
    assert!(served.loader.held.lock().is_empty(), "the request whose client had gone was never executed");
    assert_eq!(served.take_loaded(), ["a:1"]);
}

#[test]
fn the_least_recently_used_makes_room_and_what_is_in_use_does_not() {
    let models = models();
    let served = Served::new(&models, 2, &[]);
    served.use_model("a");
    served.use_model("b");
    served.use_model("a");
    served.use_model("c");
    assert_eq!(served.loaded(), ["a", "c"]);
    // `a` is older, and has a request under way.
    let under_way = served.ask("a");
    let held = served.reached();
    served.use_model("c");
    served.use_model("d");
    assert_eq!(served.loaded(), ["a", "d"]);
    held.1.respond(Ok(InferResponse::default()));
    // The backend has answered, and still has the request; and then the client still has its answer.
    let second = served.ask("d");
    let in_d = served.reached();
    let mut waits = served.ask("b");
    assert!(is_waiting(&mut waits));
    drop(held.0);
    assert!(is_waiting(&mut waits));
    answer(under_way).unwrap();
    served.reached().1.respond(Ok(InferResponse::default()));
    answer(waits).unwrap();
    assert_eq!(served.loaded(), ["b", "d"]);
    in_d.1.respond(Ok(InferResponse::default()));
    answer(second).unwrap();
}

#[test]
fn a_request_that_gets_no_room_in_time_says_who_is_in_the_way() {
    let models = models();
    let served = Served::with(&models, 1, &[], |limits| limits.ondemand_wait_max = Duration::from_millis(20));
    let under_way = served.ask("a");
    let held = served.reached();
    let text = "model 'b' was not loaded within 0.02 s (--limit ondemand-wait); the 1 models allowed (--limit \
                ondemand-models) are in use: a";
    assert_eq!(message(answer(served.ask("b"))), (ErrorKind::Unavailable, text.to_owned()));
    held.1.respond(Ok(InferResponse::default()));
    answer(under_way).unwrap();
}

#[test]
fn the_number_of_those_who_wait_is_bounded_and_the_gone_do_not_count() {
    let models = models();
    let served = Served::with(&models, 4, &[], |limits| limits.ondemand_requests_max = 2);
    let gate = served.loader.gate.lock();
    let (first, second) = (served.ask("a"), served.ask("b"));
    let text = "model 'c' is not loaded, and 2 requests wait for models already (--limit ondemand-requests)";
    assert_eq!(message(answer(served.ask("c"))), (ErrorKind::Unavailable, text.to_owned()));
    drop(first);
    let third = served.ask("c");
    drop(gate);
    for _ in 0..2 {
        served.reached().1.respond(Ok(InferResponse::default()));
    }
    answer(second).unwrap();
    answer(third).unwrap();
}

#[test]
fn a_failed_load_answers_everybody_and_is_not_tried_again_at_once() {
    let models = models();
    models.file("a/1/model.fake", "error out of luck");
    let served = Served::new(&models, 2, &[]);
    let gate = served.loader.gate.lock();
    let streams: Vec<ResponseStream> = (0..3).map(|_| served.ask("a")).collect();
    drop(gate);
    let text = "model 'a' cannot be loaded: load failed for model 'a': version 1 is at UNAVAILABLE state: Internal: out \
                of luck;";
    streams.into_iter().for_each(|stream| assert_eq!(message(answer(stream)), (ErrorKind::Unavailable, text.into())));
    models.file("a/1/model.fake", "2");
    let Err(refused) = served.service.model("a", None) else { panic!("it is not ready") };
    let text =
        "model 'a' failed to load and is not tried again for 30 s (--limit ondemand-retry): load failed for model";
    assert!(refused.kind() == ErrorKind::Unavailable && refused.message().starts_with(text), "{refused}");
    assert_eq!(served.service.server_state(), ServerState::Ready);
    served.use_model("b");
    // Whoever repairs it need not wait.
    served.service.load("a", LoadOverrides::default()).unwrap();
    served.use_model("a");
    assert_eq!(served.loaded(), ["a", "b"]);
}

#[test]
fn after_its_time_a_model_that_failed_is_tried_again() {
    let models = models();
    models.file("a/1/model.fake", "error out of luck");
    let served = Served::with(&models, 2, &[], |limits| limits.ondemand_retry_after = Duration::from_millis(1));
    assert!(answer(served.ask("a")).is_err());
    models.file("a/1/model.fake", "2");
    let end = std::time::Instant::now() + PATIENCE;
    while served.service.model("a", None).is_err() {
        assert!(std::time::Instant::now() < end);
    }
    served.use_model("a");
}

#[test]
fn an_ensemble_brings_its_members_and_keeps_them() {
    let models = models();
    models.file("e/1/keep", "");
    models.file("e/config.pbtxt", &ensemble(&["a", "b"]));
    let served = Served::new(&models, 3, &[]);
    served.use_model("e");
    assert_eq!(served.take_loaded(), ["a:1", "b:1", "e:1"]);
    assert_eq!(served.loaded(), ["a", "b", "e"]);
    // Its members are older, and in use as long as it is loaded: it goes itself.
    served.use_model("c");
    assert_eq!(served.loaded(), ["a", "b", "c"]);
    served.use_model("d");
    assert_eq!(served.loaded().len(), 3);
    let small = Served::new(&models, 2, &[]);
    let text = "model 'e' is made of 3 models, and 2 may be loaded at one time (--limit ondemand-models)";
    assert_eq!(message(answer(small.ask("e"))), (ErrorKind::Unavailable, text.into()));
}

#[test]
fn an_ensemble_whose_member_fails_says_so() {
    let models = models();
    models.file("a/1/model.fake", "error no");
    models.file("e/1/keep", "");
    models.file("e/config.pbtxt", &ensemble(&["a", "b"]));
    let served = Served::new(&models, 3, &[]);
    let (_, text) = message(answer(served.ask("e")));
    assert!(text.starts_with("model 'e' cannot be loaded: ensemble 'e' depends on 'a'"), "{text}");
    assert!(text.contains("Model 'a' loading failed with error: Internal: no"), "{text}");
    served.use_model("b");
    assert_eq!(served.loaded(), ["b"]);
}

#[test]
fn what_is_loaded_by_name_stays_until_it_is_unloaded_by_name() {
    let models = models();
    let served = Served::new(&models, 2, &["a"]);
    for name in ["b", "c", "d"] {
        served.use_model(name);
        assert_eq!(served.loaded(), ["a", name]);
    }
    served.service.unload("a", false).unwrap();
    assert_eq!(served.loaded(), ["d"]);
    assert_eq!(served.reason("a"), "not loaded: its first request loads it");
    served.take_loaded();
    served.use_model("a");
    assert_eq!(served.take_loaded(), ["a:1"], "a request loads it again");
    served.service.load("b", LoadOverrides::default()).unwrap();
    assert_eq!(served.loaded(), ["a", "b"]);
    models.file("b/1/model.fake", "7");
    served.service.load("b", LoadOverrides::default()).unwrap();
    assert_eq!(served.service.model("b", None).unwrap().statistics().execution_count, 7);
}

#[test]
fn loads_by_name_find_new_directories_and_take_nothing_from_clients() {
    let models = models();
    let served = Served::new(&models, 2, &[]);
    models.file("late/1/model.fake", "1");
    assert!(served.service.model("late", None).is_err());
    served.service.load("late", LoadOverrides::default()).unwrap();
    served.use_model("late");
    let error = served.service.load("never", LoadOverrides::default()).unwrap_err();
    assert_eq!(error.message(), "failed to load 'never', failed to poll from model repository");
    let overrides = LoadOverrides { config: Some("{}".to_owned()), ..LoadOverrides::default() };
    let error = served.service.load("a", overrides).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("--model-control-mode=explicit"), "{error}");
}

#[test]
fn a_change_on_disk_is_seen_by_the_next_load() {
    let models = models();
    models.file_at("a/1/model.fake", "1", 10);
    let served = Served::new(&models, 1, &[]);
    served.use_model("a");
    models.file_at("a/1/model.fake", "2", 20);
    served.use_model("b");
    served.use_model("a");
    assert_eq!(served.service.model("a", None).unwrap().statistics().execution_count, 2);
}

#[test]
fn many_threads_and_few_places_answer_everybody() {
    let models = models();
    let served = Served::new(&models, 2, &[]);
    let (sender, receiver) = mpsc::channel();
    let answering = AtomicBool::new(true);
    thread::scope(|scope| {
        let (served, answering) = (&served, &answering);
        scope.spawn(move || {
            while answering.load(Ordering::Acquire) {
                let held = served.loader.held.lock().pop();
                held.into_iter().for_each(|(_, sender)| sender.respond(Ok(InferResponse::default())));
                thread::yield_now();
            }
        });
        for worker in 0..4 {
            let sender = sender.clone();
            scope.spawn(move || {
                for round in 0..50 {
                    let name = ["a", "b", "c", "d"][(worker + round) % 4];
                    sender.send(answer(served.ask(name)).map_err(|error| error.to_string())).unwrap();
                }
            });
        }
        let answers: Vec<_> = (0..200).map(|_| receiver.recv_timeout(PATIENCE).unwrap()).collect();
        answering.store(false, Ordering::Release);
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    });
    assert!(served.loaded().len() <= 2);
}
