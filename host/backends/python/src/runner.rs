//! One process that runs one instance: started, asked, told to finish, ended.
//!
//! The first connection is for what the host asks, one thing at a time, by the thread that executes; the second for what the
//! model asks meanwhile and afterwards (`desk.rs`). Whoever sees first that something is wrong ends the process; its end is
//! noticed in one place (`supervisor.rs`), and everything that waits for it fails with one text.

use std::{
    collections::BTreeMap,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    process::{Child, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use nereid_backend::{Batch, InstanceSpec};
use nereid_inference::{CheckedRequest, InferError, config::InstanceKind};
use nereid_tensor::Buffer;
use parking_lot::{Condvar, Mutex};
use serde::de::DeserializeOwned;

use crate::{
    channel::{Channel, ChannelError},
    context::ModelContext,
    desk::Desk,
    launch::Workspace,
    log_lines::{self, LastLines},
    messages::{Correlation, Executed, Loaded, Order, ParameterRow, RequestRow},
    payload::Outgoing,
    process::Process,
    slots::Slots,
};

/// How long an execution that found the connection closed waits to hear how the process ended.
const EPITAPH_WAIT: Duration = Duration::from_secs(5);

/// A process that is there, or was.
#[derive(Debug)]
pub(crate) struct Runner {
    model: Arc<ModelContext>,
    instance: Arc<str>,
    process: Process,
    control: Mutex<Channel>,
    /// Closes the first connection while somebody waits on it.
    hang_up: Channel,
    pub(crate) slots: Arc<Slots>,
    pub(crate) desk: Arc<Desk>,
    last_lines: LastLines,
    /// Why the host ended it; the first reason counts.
    verdict: Mutex<Option<InferError>>,
    end: Mutex<Option<InferError>>,
    ended: Condvar,
    /// Its own folder, gone with it.
    _workspace: Workspace,
}

/// What is to be started.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) model: Arc<ModelContext>,
    pub(crate) instance: InstanceSpec,
}

// === impl Runner ===

impl Runner {
    /// Starts a process and initialises its model. The calling thread must live as long as the process, which ends with it.
    ///
    /// # Errors
    /// No process, or what the model says; the process is gone then.
    pub(crate) fn start(plan: &Plan) -> Result<(Arc<Self>, Child), InferError> {
        let (runner, mut child, theirs) = Self::spawn(plan)?;
        match runner.initialise(plan, theirs) {
            Ok(()) => Ok((runner, child)),
            Err(error) => {
                runner.process.kill();
                let how = runner.process.reap(&mut child);
                Err(runner.bury(&how, error))
            }
        }
    }

    fn spawn(plan: &Plan) -> Result<(Arc<Self>, Child, UnixStream), InferError> {
        let Plan { model, instance } = plan;
        let failed = |error: std::io::Error| {
            InferError::internal(format!("cannot start a Python process for '{}': {error}", instance.name))
        };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let (host_ours, host_theirs) = UnixStream::pair().map_err(failed)?;
        let (pipe, output) = std::io::pipe().map_err(failed)?;
        let workspace = model.launch.workspace()?;
        let mut command = model.launch.command(&workspace, instance.kind)?;
        command.stdin(OwnedFd::from(theirs)).stdout(output.try_clone().map_err(failed)?).stderr(Stdio::from(output));
        let child = command.process_group(0).spawn().map_err(|error| model.launch.cannot_run(&error))?;
        drop(command);
        let last_lines = LastLines::default();
        let (identity, kept, log) = (model.identity.clone(), last_lines.clone(), model.limits.log);
        spawn_thread("log", move || log_lines::copy(pipe, &identity, &kept, log)).map_err(failed)?;
        let control = Channel::new(ours, model.limits.response as u64).spinning();
        let desk_channel = Channel::new(host_ours, model.limits.response as u64);
        let slots = Arc::<Slots>::default();
        let desk =
            Desk::open(model.clone(), slots.clone(), desk_channel.try_clone().map_err(failed)?).map_err(failed)?;
        let runner = Arc::new(Self {
            model: model.clone(),
            instance: instance.name.as_str().into(),
            process: Process::of(&child),
            hang_up: control.try_clone().map_err(failed)?,
            control: Mutex::new(control),
            slots,
            desk,
            last_lines,
            verdict: Mutex::default(),
            end: Mutex::default(),
            ended: Condvar::new(),
            _workspace: workspace,
        });
        let listener = Arc::downgrade(&runner);
        let desk = runner.desk.clone();
        spawn_thread("desk", move || {
            if let Err(error) = desk.serve(desk_channel)
                && let Some(runner) = listener.upgrade()
            {
                runner.condemn(runner.broken(&error));
            }
        })
        .map_err(failed)?;
        Ok((runner, child, host_theirs))
    }

    fn initialise(&self, plan: &Plan, host_theirs: UnixStream) -> Result<(), Option<InferError>> {
        let model = &self.model;
        let (file, config) = (model.file.to_string_lossy(), nereid_config::to_json(&model.config));
        let args = BTreeMap::from([
            ("model_config", config),
            ("model_instance_kind", kind_name(plan.instance.kind).to_owned()),
            ("model_instance_name", plan.instance.name.clone()),
            ("model_instance_device_id", plan.instance.device_id.to_string()),
            ("model_repository", model.model_directory.to_string_lossy().into_owned()),
            ("model_version", model.identity.version.to_string()),
            ("model_name", model.identity.name.to_string()),
        ]);
        let order = Order::Start {
            file: &file,
            directory: &model.version_directory.to_string_lossy(),
            instance: &self.instance,
            model: &model.identity.name,
            decoupled: model.config.is_decoupled(),
            args,
        };
        let deadline = Instant::now() + model.limits.start;
        let mut control = self.control.lock();
        let sent = control.send_with(&order, &Outgoing::default(), Some(deadline), Some(host_theirs.as_fd()));
        sent.map_err(|error| self.unstarted(&error, "its start"))?;
        drop(host_theirs);
        let (loaded, _) =
            read::<Loaded>(&mut control, deadline).map_err(|error| self.unstarted(&error, "initialize"))?;
        match loaded.error {
            Some(error) => Err(Some(InferError::internal(error))),
            None => {
                self.desk.may_be_asked(loaded.has_is_ready);
                Ok(())
            }
        }
    }

    /// Has the model complete its configuration, in a process of its own.
    ///
    /// # Errors
    /// No process, or what the model says.
    pub(crate) fn complete(plan: &Plan) -> Result<String, InferError> {
        let (runner, mut child, theirs) = Self::spawn(plan)?;
        let completed = runner.complete_here(theirs);
        // It ends by itself, after it has answered; a model's own threads may not keep it.
        runner.process.kill();
        let how = runner.process.reap(&mut child);
        completed.map_err(|error| runner.bury(&how, error))
    }

    fn complete_here(&self, host_theirs: UnixStream) -> Result<String, Option<InferError>> {
        let model = &self.model;
        let (file, config) = (model.file.to_string_lossy(), nereid_config::to_json(&model.config));
        let order = Order::Complete {
            file: &file,
            directory: &model.version_directory.to_string_lossy(),
            instance: &self.instance,
            model: &model.identity.name,
            decoupled: model.config.is_decoupled(),
            config: &config,
        };
        let deadline = Instant::now() + model.limits.start;
        let mut control = self.control.lock();
        let sent = control.send_with(&order, &Outgoing::default(), Some(deadline), Some(host_theirs.as_fd()));
        sent.map_err(|error| self.unstarted(&error, "its start"))?;
        let (loaded, _) =
            read::<Loaded>(&mut control, deadline).map_err(|error| self.unstarted(&error, "auto_complete_config"))?;
        match (loaded.error, loaded.config) {
            (Some(error), _) => Err(Some(InferError::internal(error))),
            (None, Some(config)) => Ok(config.to_string()),
            (None, None) => Err(Some(InferError::internal("the Python process completed no configuration"))),
        }
    }

    /// Executes the requests of a batch, which have these numbers.
    ///
    /// # Errors
    /// What the model raised, or what became of its process.
    pub(crate) fn execute(&self, batch: &mut Batch, numbers: &[u64]) -> Result<(Executed, Buffer), InferError> {
        let mut outgoing = Outgoing::default();
        let requests = batch.requests().zip(numbers).map(|(request, slot)| self.row(request, *slot, &mut outgoing));
        let order = Order::Execute { requests: requests.collect() };
        let mut control = self.control.lock();
        let deadline = Instant::now() + self.model.limits.execute;
        control.send(&order, &outgoing, Some(deadline)).map_err(|error| self.give_up(&error))?;
        drop((order, outgoing));
        batch.mark_inputs_ready();
        let (executed, payload) = read::<Executed>(&mut control, deadline).map_err(|error| self.give_up(&error))?;
        batch.mark_outputs_started();
        match executed.error {
            Some(error) => Err(InferError::internal(error)),
            None if executed.answers.len() == numbers.len() => Ok((executed, payload)),
            None => {
                let (expected, found) = (numbers.len(), executed.answers.len());
                let text = format!("{expected} requests were answered {found} times");
                Err(self.give_up(&ChannelError::Malformed(text)))
            }
        }
    }

    fn row<'a>(&'a self, request: &'a CheckedRequest, slot: u64, outgoing: &mut Outgoing) -> RequestRow<'a> {
        let asked = request.get();
        let (correlation, flags) = Correlation::of(asked.sequence.as_ref());
        let mut wanted: Vec<&str> = asked.requested_outputs.iter().map(|name| &**name).collect();
        if !wanted.is_empty() {
            // What the host keeps is wanted too.
            let outputs = self.model.signature.outputs.iter().map(|output| &*output.name);
            wanted.extend(outputs.filter(|name| request.is_attached(name)));
        }
        let timeout = asked.timeout.map_or(0, |timeout| u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX));
        let inputs = asked.inputs.iter().map(|input| outgoing.add(&input.name, &input.tensor)).collect();
        let parameters = ParameterRow(&asked.parameters);
        RequestRow { slot, id: &asked.id, correlation, flags, timeout, parameters, wanted, inputs }
    }

    /// Waits for open requests, has the model finish, and ends the process.
    pub(crate) fn finish(&self) {
        let deadline = Instant::now() + self.model.limits.finalize;
        if !self.slots.wait_until_empty(deadline) {
            self.slots.fail_all(&InferError::unavailable(format!("model '{}' is unloaded", self.model.identity)));
        }
        let mut control = self.control.lock();
        let sent = control.send(&Order::Finalize, &Outgoing::default(), Some(deadline));
        let finished = sent.and_then(|()| read::<Loaded>(&mut control, deadline));
        match finished {
            Ok((Loaded { error: Some(error), .. }, _)) => tracing::error!("finalize of '{}': {error}", self.instance),
            Ok(_) => {}
            Err(error) => tracing::error!("'{}' did not finish in order: {error}", self.instance),
        }
        // It has nothing left to say; what its own threads do is nobody's any more.
        self.process.kill();
    }

    /// Whether the model says that it is ready.
    pub(crate) fn readiness(&self) -> Result<(), InferError> {
        self.desk.readiness(Instant::now()).map_err(|why| {
            InferError::unavailable(format!("Model '{}' is not ready (user-defined check failed){why}.", self.instance))
        })
    }

    /// Whether its end is decided, or here.
    pub(crate) fn is_over(&self) -> bool {
        self.verdict.lock().is_some() || self.end.lock().is_some()
    }

    /// Waits for the end of the process; returns why it ended. By the one who started it.
    pub(crate) fn attend(&self, child: &mut Child) -> InferError {
        let how = self.process.reap(child);
        self.bury(&how, None)
    }

    /// What became of a process that does not execute as it should; it is over then.
    fn give_up(&self, error: &ChannelError) -> InferError {
        match error {
            ChannelError::TimedOut => {
                let limit = self.model.limits.execute;
                self.condemn(self.late("an execution", &format!("{limit:?} (--limit python-execute)")));
            }
            // The one who waits for it says how it ended.
            ChannelError::Closed => {}
            _ => self.condemn(self.broken(error)),
        }
        let verdict = self.verdict.lock().clone();
        verdict.unwrap_or_else(|| self.epitaph())
    }

    /// Why it did not start; `None` when its end says so.
    fn unstarted(&self, error: &ChannelError, what: &str) -> Option<InferError> {
        match error {
            ChannelError::TimedOut => {
                Some(self.late(what, &format!("{:?} (--limit python-start)", self.model.limits.start)))
            }
            ChannelError::Closed => None,
            _ => Some(self.broken(error)),
        }
    }

    fn late(&self, what: &str, limit: &str) -> InferError {
        let instance = &self.instance;
        InferError::deadline_exceeded(format!(
            "instance '{instance}': {what} took longer than {limit}; its process was ended"
        ))
    }

    fn broken(&self, error: &ChannelError) -> InferError {
        InferError::internal(format!("the Python process of '{}': {error}; it was ended", self.instance))
    }

    /// Ends the process for this reason.
    fn condemn(&self, reason: InferError) {
        self.verdict.lock().get_or_insert(reason);
        self.process.kill();
    }

    /// How it ended, once that is known.
    fn epitaph(&self) -> InferError {
        let mut end = self.end.lock();
        let deadline = Instant::now() + EPITAPH_WAIT;
        loop {
            if let Some(end) = &*end {
                return end.clone();
            }
            if self.ended.wait_until(&mut end, deadline).timed_out() {
                // The connection is closed and the process goes on: it cannot be talked to.
                self.process.kill();
                return InferError::internal(format!(
                    "the Python process of '{}' closed its connection",
                    self.instance
                ));
            }
        }
    }

    /// Says to everybody that it is over, and why.
    fn bury(&self, how: &str, raised: Option<InferError>) -> InferError {
        self.hang_up.close();
        self.desk.close();
        let verdict = self.verdict.lock().clone();
        let reason = verdict.or(raised).unwrap_or_else(|| {
            let last_lines = self.last_lines.text();
            InferError::internal(format!("the Python process of '{}' ended: {how}{last_lines}", self.instance))
        });
        *self.end.lock() = Some(reason.clone());
        self.ended.notify_all();
        self.slots.fail_all(&reason);
        reason
    }
}

fn read<T: DeserializeOwned>(control: &mut Channel, deadline: Instant) -> Result<(T, Buffer), ChannelError> {
    let received = control.receive(Some(deadline))?;
    let header = serde_json::from_slice(&received.header);
    Ok((header.map_err(|error| ChannelError::Malformed(error.to_string()))?, received.payload))
}

fn kind_name(kind: InstanceKind) -> &'static str {
    match kind {
        InstanceKind::Gpu => "GPU",
        InstanceKind::Model => "MODEL",
        InstanceKind::Auto | InstanceKind::Cpu => "CPU",
    }
}

fn spawn_thread(role: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    thread::Builder::new().name(format!("nereid-py-{role}")).spawn(work).map(drop)
}
