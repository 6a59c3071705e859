//! Trace files: which trace goes into which, and when a file is written.
//!
//! The traces of a setting with a log frequency, or with a count, go into files with a number, each written when its last
//! trace is there, in one go. All others go into the file without one, which holds a whole JSON array after every trace:
//! its closing bracket is written over when the next one comes. What has not filled a numbered file when its setting goes is
//! written then.
//! What cannot be written is lost, and the log says so.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Seek as _, SeekFrom, Write as _},
    path::PathBuf,
};

use super::{json::trace_text, recording::Record};

/// Text that waits for its numbered file; with more, a file is written early and with fewer traces.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// The files at one path.
pub(crate) struct TraceFiles {
    path: PathBuf,
    whole: Option<File>,
    numbered: u32,
    waiting: HashMap<u64, Waiting>,
    has_complained: bool,
}

/// Traces of one setting that will share a numbered file.
#[derive(Default)]
struct Waiting {
    text: String,
    traces: u32,
    /// Traces ever, those of earlier files included.
    collected: u64,
    log_frequency: u32,
}

// === impl TraceFiles ===

impl TraceFiles {
    /// Nothing is opened before there is something to write.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, whole: None, numbered: 0, waiting: HashMap::new(), has_complained: false }
    }

    /// Adds a trace.
    pub(crate) fn add(&mut self, record: &Record) {
        let text = trace_text(record);
        let setting = &record.setting;
        if setting.log_frequency == 0 && setting.values().count < 0 {
            return self.write_whole(&text);
        }
        let waiting = self.waiting.entry(setting.id).or_default();
        waiting.log_frequency = setting.log_frequency;
        waiting.push(&text);
        let is_full = waiting.log_frequency != 0 && waiting.traces >= waiting.log_frequency;
        let is_last = setting.exhausted() == Some(waiting.collected);
        if is_full || is_last || waiting.text.len() > WAITING_BYTES_MAX {
            let text = waiting.take();
            self.write_numbered(&text);
        }
    }

    /// Writes what waits for more traces of a setting, of which none will come.
    pub(crate) fn retire(&mut self, setting_id: u64) {
        let Some(mut waiting) = self.waiting.remove(&setting_id).filter(|waiting| waiting.traces > 0) else { return };
        let text = waiting.take();
        match waiting.log_frequency {
            0 => self.write_whole(&text),
            _ => self.write_numbered(&text),
        }
    }

    /// Writes everything that waits.
    pub(crate) fn close(&mut self) {
        let mut ids: Vec<u64> = self.waiting.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            self.retire(id);
        }
    }

    fn write_whole(&mut self, text: &str) {
        let written = self.append(text);
        self.complain(written, &self.path.display().to_string());
    }

    fn append(&mut self, text: &str) -> io::Result<()> {
        let Some(file) = &mut self.whole else {
            let mut file = File::create(&self.path)?;
            file.write_all(format!("[{text}]").as_bytes())?;
            self.whole = Some(file);
            return Ok(());
        };
        file.seek(SeekFrom::End(-1))?;
        file.write_all(format!(",\n{text}]").as_bytes())
    }

    fn write_numbered(&mut self, text: &str) {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{}", self.numbered));
        self.numbered += 1;
        let written = fs::write(&path, format!("[{text}]"));
        self.complain(written, &path.display().to_string());
    }

    /// Once: a full disk would fill the log too.
    fn complain(&mut self, written: io::Result<()>, path: &str) {
        match written {
            Ok(()) => self.has_complained = false,
            Err(error) if !self.has_complained => {
                self.has_complained = true;
                tracing::error!("traces are lost: the trace file '{path}' cannot be written: {error}");
            }
            Err(_) => {}
        }
    }
}

// === impl Waiting ===

impl Waiting {
    fn push(&mut self, text: &str) {
        if self.traces > 0 {
            self.text.push_str(",\n");
        }
        self.text.push_str(text);
        self.traces += 1;
        self.collected += 1;
    }

    fn take(&mut self) -> String {
        self.traces = 0;
        std::mem::take(&mut self.text)
    }
}
