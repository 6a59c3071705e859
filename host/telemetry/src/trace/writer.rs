//! The thread that turns complete traces into files or spans, and the way to it.
//!
//! The way is bounded, in traces and in bytes of the tensors and texts that they keep alive: beyond that a trace is left out and counted.
//! Nobody who has a trace to deliver waits.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{export::SpanExport, files::TraceFiles, recording::Record};

/// Complete traces that wait to be written: a second of them at a thousand traced requests per second.
const WAITING_TRACES_MAX: usize = 1_024;

/// Bytes of tensors and texts that those keep alive.
const WAITING_CONTENT_BYTES_MAX: usize = 64 << 20;

/// How often at most the log says that traces are left out.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(5);

/// Takes complete traces.
#[derive(Clone, Debug)]
pub(crate) struct Sink {
    messages: mpsc::Sender<Message>,
    load: Arc<Load>,
}

/// Where they end.
pub(crate) enum Output {
    Files(TraceFiles),
    Spans(SpanExport),
}

#[derive(Debug)]
enum Message {
    Trace(Record),
    /// Nothing more comes under this setting.
    Retire(u64),
    Close,
}

/// What waits, and what was left out.
#[derive(Debug, Default)]
struct Load {
    traces: AtomicUsize,
    content_bytes: AtomicUsize,
    left_out: AtomicU64,
}

/// Starts the thread. It ends with [`Sink::close`].
pub(crate) fn start(mut output: Output) -> io::Result<(Sink, JoinHandle<()>)> {
    let (messages, received) = mpsc::channel();
    let load = Arc::new(Load::default());
    let sink = Sink { messages, load: load.clone() };
    let thread = thread::Builder::new().name("trace-writer".to_owned());
    let thread = thread.spawn(move || {
        run(&mut output, &received, &load);
        output.close();
    })?;
    Ok((sink, thread))
}

fn run(output: &mut Output, received: &mpsc::Receiver<Message>, load: &Load) {
    let mut complained: Option<Instant> = None;
    while let Ok(message) = received.recv() {
        match message {
            Message::Trace(record) => {
                let content_bytes = record.content_bytes();
                output.add(&record);
                // The setting may go with the record, and says so through the channel.
                drop(record);
                load.traces.fetch_sub(1, Relaxed);
                load.content_bytes.fetch_sub(content_bytes, Relaxed);
            }
            Message::Retire(setting_id) => output.retire(setting_id),
            Message::Close => return,
        }
        if load.left_out.load(Relaxed) > 0 && complained.is_none_or(|at| at.elapsed() >= COMPLAINT_INTERVAL) {
            complained = Some(Instant::now());
            let left_out = load.left_out.swap(0, Relaxed);
            tracing::warn!("{left_out} traces were left out: requests are traced faster than traces can be written");
        }
    }
}

// === impl Sink ===

impl Sink {
    /// Takes a trace, or leaves it out when too much waits already.
    pub(crate) fn deliver(&self, record: Record) {
        let content_bytes = record.content_bytes();
        let traces = self.load.traces.fetch_add(1, Relaxed);
        let waiting_bytes = self.load.content_bytes.fetch_add(content_bytes, Relaxed);
        let is_full = traces >= WAITING_TRACES_MAX
            || waiting_bytes > 0 && waiting_bytes.saturating_add(content_bytes) > WAITING_CONTENT_BYTES_MAX;
        if is_full || self.messages.send(Message::Trace(record)).is_err() {
            self.load.traces.fetch_sub(1, Relaxed);
            self.load.content_bytes.fetch_sub(content_bytes, Relaxed);
            self.load.left_out.fetch_add(1, Relaxed);
        }
    }

    /// Says that nothing more comes under a setting.
    pub(crate) fn retire(&self, setting_id: u64) {
        // Without its thread everything is written already.
        let _ = self.messages.send(Message::Retire(setting_id));
    }

    /// Ends the thread once it has written what was delivered until now.
    pub(crate) fn close(&self) {
        let _ = self.messages.send(Message::Close);
    }
}

// === impl Output ===

impl Output {
    fn add(&mut self, record: &Record) {
        match self {
            Self::Files(files) => files.add(record),
            Self::Spans(export) => export.add(record),
        }
    }

    fn retire(&mut self, setting_id: u64) {
        if let Self::Files(files) = self {
            files.retire(setting_id);
        }
    }

    fn close(&mut self) {
        match self {
            Self::Files(files) => files.close(),
            Self::Spans(export) => export.close(),
        }
    }
}
