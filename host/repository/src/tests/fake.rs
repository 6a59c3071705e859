//! A loader whose models are text files: what is written in `model.fake` decides what becomes of a load.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use nereid_inference::{
    Generation, InferError, InferRequest, ModelConfig, ModelIdentity, ModelLoader, ModelSource, ModelState,
    ModelStatistics, ResponseSender, ResponseStream, SequenceFlags, SequenceId, ServedModel, Signature,
    SwapGuardSettings, Tally, response_channel,
};
use parking_lot::{Condvar, Mutex};
use tempfile::TempDir;

use crate::{ControlMode, Repository, RepositoryLimits, RepositorySettings};

/// Longer than any scheduling hiccup; only a broken test waits for it.
const MEETING_TIMEOUT: Duration = Duration::from_secs(20);

/// A repository on disk.
pub(super) struct Models {
    directory: TempDir,
}

/// Requests that a test answers when it likes.
pub(super) type Held = Arc<Mutex<Vec<(InferRequest, ResponseSender)>>>;

/// Loads `model.fake`: a number is a generation, `error TEXT` and `panic TEXT` are what they say, `meet` waits for
/// another load that meets, `takes N` takes that much of the room for as long as it is loaded, `flaky` fails twice, `sick` loads and is not ready while the file says so, `resting` the same in passing. Requests are
/// held for the test. `watched N` is generation N, whose successor it is kept warm for: it has a digest, counts what the test
/// says, and holds the sequences that it is given a START of, until their END.
#[derive(Default)]
pub(super) struct FakeLoader {
    pub(super) held: Held,
    /// Loads wait for their turn while this is locked.
    pub(super) gate: Mutex<()>,
    pub(super) loaded: Mutex<Vec<String>>,
    /// What models that take any may take.
    pub(super) room: Arc<Mutex<u64>>,
    pub(super) tallies: Arc<Mutex<BTreeMap<u64, Tally>>>,
    failed: Mutex<usize>,
    meeting: Mutex<usize>,
    met: Condvar,
}

struct FakeModel {
    source: ModelSource,
    signature: Signature,
    generation: u64,
    held: Held,
    watched: Option<Watched>,
    _taken: Option<Taken>,
}

/// What a generation says that is watched.
#[derive(Clone, Default)]
pub(super) struct Watched {
    digest: String,
    /// By generation; what a test says.
    tallies: Arc<Mutex<BTreeMap<u64, Tally>>>,
    generation: u64,
    sequences: Arc<Mutex<BTreeSet<String>>>,
}

/// Room that is given back.
struct Taken {
    room: Arc<Mutex<u64>>,
    share: u64,
}

/// One row of a report or an index.
pub(super) fn line(name: &str, version: Option<u64>, state: Option<ModelState>, reason: &str) -> String {
    let version = version.map(|version| format!(":{version}")).unwrap_or_default();
    let state = state.map(|state| format!(" {}", state.name())).unwrap_or_default();
    format!("{name}{version}{state} {reason}").trim_end().to_owned()
}

/// The configuration of an ensemble of these models.
pub(super) fn ensemble(members: &[&str]) -> String {
    let step = |member: &&str| {
        format!("{{ model_name: '{member}' input_map {{ key: 'x' value: 'X' }} output_map {{ key: 'y' value: 'Y' }} }}")
    };
    let steps: Vec<String> = members.iter().map(step).collect();
    format!("platform: 'ensemble' ensemble_scheduling {{ step [ {} ] }}", steps.join(", "))
}

// === impl Models ===

impl Models {
    pub(super) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file, with the directories it needs.
    pub(super) fn file(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes the file as of `seconds` after the epoch.
    pub(super) fn file_at(&self, name: &str, text: &str, seconds: u64) {
        self.file(name, text);
        let file = File::options().write(true).open(self.path().join(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }

    pub(super) fn loader(&self) -> Arc<FakeLoader> {
        Arc::default()
    }

    pub(super) fn settings(&self, control_mode: ControlMode, load_models: &[&str]) -> RepositorySettings {
        RepositorySettings {
            paths: vec![self.path().to_owned()],
            has_namespaces: false,
            control_mode,
            load_models: load_models.iter().map(|name| (*name).to_owned()).collect(),
            auto_complete: true,
            strict_readiness: true,
            load_thread_count: 4,
            load_retry_count: 0,
            config_name: None,
            limits: RepositoryLimits::default(),
        }
    }

    pub(super) fn repository(&self, control_mode: ControlMode, load_models: &[&str]) -> Arc<Repository> {
        Repository::new(self.settings(control_mode, load_models), self.loader())
    }
}

// === impl FakeLoader ===

impl FakeLoader {
    fn text(source: &ModelSource) -> String {
        fs::read_to_string(source.version_directory.join("model.fake")).unwrap_or_default()
    }

    fn fail_twice(&self) -> Result<(), InferError> {
        let mut failed = self.failed.lock();
        *failed += 1;
        if *failed > 2 { Ok(()) } else { Err(InferError::unavailable(format!("failure {failed}"))) }
    }

    /// What was loaded since this was asked before.
    pub(super) fn take_loaded(&self) -> Vec<String> {
        std::mem::take(&mut self.loaded.lock())
    }

    fn take(&self, source: &ModelSource, share: u64) -> Result<Taken, InferError> {
        let mut room = self.room.lock();
        let Some(left) = room.checked_sub(share) else {
            return Err(InferError::resource_exhausted(format!("no room for '{}'", source.identity)).lacking_room());
        };
        *room = left;
        Ok(Taken { room: self.room.clone(), share })
    }

    /// Waits until two loads are here at once.
    fn meet(&self) -> Result<(), InferError> {
        let deadline = Instant::now() + MEETING_TIMEOUT;
        let mut here = self.meeting.lock();
        *here += 1;
        self.met.notify_all();
        while *here < 2 {
            if self.met.wait_until(&mut here, deadline).timed_out() {
                return Err(InferError::internal("the other load never began"));
            }
        }
        Ok(())
    }
}

impl ModelLoader for FakeLoader {
    fn complete_config(&self, source: &ModelSource) -> Result<ModelConfig, InferError> {
        let mut config = source.config.clone();
        assert!(Self::text(source) != "panic early", "early");
        if source.version_directory.join("model.fake").exists() {
            config.backend = "fake".to_owned();
        }
        Ok(config)
    }

    fn validate(&self, source: &ModelSource, _: &dyn Fn(&str) -> Option<ModelConfig>) -> Result<(), InferError> {
        match Self::text(source).split_once(' ') {
            Some(("invalid", why)) => Err(InferError::invalid_argument(why)),
            _ => Ok(()),
        }
    }

    fn load(&self, source: ModelSource) -> Result<Arc<dyn ServedModel>, InferError> {
        drop(self.gate.lock());
        let text = Self::text(&source);
        let (mut generation, mut taken, mut watched) = (0, None, None);
        match text.split_once(' ') {
            Some(("error", why)) => return Err(InferError::internal(why)),
            Some(("panic", why)) => panic!("{why}"),
            Some(("watched", number)) => {
                generation = number.parse().unwrap();
                let (digest, tallies) = (format!("digest of {number}"), self.tallies.clone());
                watched = Some(Watched { digest, tallies, generation, sequences: Arc::default() });
            }
            Some(("takes", share)) => taken = Some(self.take(&source, share.parse().unwrap())?),
            _ if text == "meet" => self.meet()?,
            _ if text == "flaky" => self.fail_twice()?,
            _ => generation = text.parse().unwrap_or_default(),
        }
        self.loaded.lock().push(source.identity.to_string());
        let signature = Signature::from_config(&source.config)?;
        Ok(Arc::new(FakeModel { source, signature, generation, held: self.held.clone(), watched, _taken: taken }))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        *self.room.lock() += self.share;
    }
}

// === impl FakeModel ===

impl ServedModel for FakeModel {
    fn identity(&self) -> &ModelIdentity {
        &self.source.identity
    }

    fn config(&self) -> &ModelConfig {
        &self.source.config
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn reconfigured(&self, config: &ModelConfig) -> Result<Option<Arc<dyn ServedModel>>, InferError> {
        if config.instance_groups.iter().any(|group| group.count > 100) {
            return Err(InferError::unavailable("no room for that many"));
        }
        let source = ModelSource { config: config.clone(), ..self.source.clone() };
        let (signature, held) = (self.signature.clone(), self.held.clone());
        Ok(Some(Arc::new(Self {
            source,
            signature,
            generation: self.generation,
            held,
            watched: self.watched.clone(),
            _taken: None,
        })))
    }

    fn readiness(&self) -> Result<(), InferError> {
        match FakeLoader::text(&self.source).as_str() {
            "resting" => Err(InferError::unavailable("it is let rest for a while")),
            "sick" => Err(InferError::internal("its library is gone")),
            _ => Ok(()),
        }
    }

    fn generation(&self) -> Option<&dyn Generation> {
        self.watched.as_ref().map(|watched| watched as _)
    }

    fn infer(&self, request: InferRequest) -> ResponseStream {
        let (sender, stream) = response_channel();
        if let (Some(watched), Some(SequenceFlags { id: SequenceId::Text(id), start, end })) =
            (&self.watched, &request.sequence)
        {
            let mut sequences = watched.sequences.lock();
            let known = if *start { sequences.insert(id.clone()) } else { sequences.contains(id) };
            sequences.retain(|known| !(end & (known == id)));
            let said = if known { format!("generation {}", self.generation) } else { "not started".to_owned() };
            sender.respond(Err(InferError::internal(said)));
            return stream;
        }
        self.held.lock().push((request, sender));
        stream
    }

    fn statistics(&self) -> ModelStatistics {
        ModelStatistics { execution_count: self.generation, ..ModelStatistics::new(self.source.identity.clone()) }
    }
}

// === impl Watched ===

impl Generation for Watched {
    fn guard(&self) -> Option<SwapGuardSettings> {
        Some(SwapGuardSettings::DEFAULT)
    }

    fn recent(&self, _: Instant) -> Tally {
        self.tallies.lock().get(&self.generation).cloned().unwrap_or_default()
    }

    fn digest(&self) -> Option<&str> {
        Some(&self.digest)
    }

    fn has_open_sequence(&self, id: Option<&SequenceId>) -> bool {
        let sequences = self.sequences.lock();
        match id {
            Some(SequenceId::Text(id)) => sequences.contains(id),
            Some(SequenceId::Number(_)) => false,
            None => !sequences.is_empty(),
        }
    }
}
