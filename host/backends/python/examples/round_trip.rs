//! Times one execution of a small tensor between the host and a Python process: `round_trip INTERPRETER`.
//!
//! No frontend, no scheduler: a batch of one request, 64 bytes, handed to a warm instance again and again, confined as a
//! server confines it. Printed: wall time (median, p99), processor time of both processes, and where the wall time goes. The
//! stages inside the process come from a second model, which answers with the clock's readings.

use std::{
    error::Error,
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use nereid_backend::{Backend as _, Batch, BlockingInstance, Instance, InstanceSpec};
use nereid_backend_python::{LAUNCH_VERB, PythonBackend, PythonLimits, PythonPorts, PythonSettings, launch};
use nereid_inference::{InferRequest, LoadClock, ModelIdentity, ModelSource, NamedTensor, Signature, response_channel};
use nereid_tensor::Tensor;
use rustix::time::{ClockId, clock_gettime};

const WARM_UP: usize = 3_000;
const ROUNDS: usize = 20_000;

/// Both models have this configuration.
const CONFIG: &str = "backend: 'python' input { name: 'X' data_type: TYPE_INT64 dims: [ 8 ] } \
                      output { name: 'Y' data_type: TYPE_INT64 dims: [ 8 ] }";

const IDENTITY: &str = "
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, 'X').as_numpy()
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor('Y', x)]))
        return responses
";

const CLOCK: &str = "
import time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        entered = time.monotonic_ns()
        x = pb_utils.get_input_tensor_by_name(requests[0], 'X').as_numpy()
        y = np.zeros(8, dtype=np.int64)
        responses = [pb_utils.InferenceResponse([pb_utils.Tensor('Y', y)])]
        y[:2] = entered, time.monotonic_ns()
        return responses
";

/// A model in a process of its own.
struct Runner {
    instance: Box<dyn BlockingInstance>,
    signature: Signature,
    _directory: tempfile::TempDir,
}

/// One execution, on the clock that both processes read.
struct Round {
    began: u64,
    sent: u64,
    heard: u64,
    ended: u64,
    /// What the model answered with.
    answer: [i64; 2],
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [LAUNCH_VERB, specification] => std::process::exit(launch(specification).into()),
        [interpreter] => measure(Path::new(interpreter)),
        _ => Err("expected INTERPRETER, one that has numpy".into()),
    }
}

fn measure(interpreter: &Path) -> Result<(), Box<dyn Error>> {
    println!("| what | median µs | p99 µs |\n|---|---|---|");
    print_row("one byte there and back, two threads, one socket pair", floor()?);
    let mut identity = Runner::start(interpreter, IDENTITY)?;
    identity.rounds(WARM_UP)?;
    let before = (processor_time("self"), processor_time(&children()?));
    let rounds = identity.rounds(ROUNDS)?;
    let after = (processor_time("self"), processor_time(&children()?));
    print_row("identity: the whole round trip", rounds.iter().map(|round| round.ended - round.began).collect());
    let each = |(before, after): (Duration, Duration)| (after - before).as_secs_f64() * 1e6 / ROUNDS as f64;
    let (host, runner) = (each((before.0, after.0)), each((before.1, after.1)));
    drop(identity);

    let mut clock = Runner::start(interpreter, CLOCK)?;
    clock.rounds(WARM_UP)?;
    let mut stages: [Vec<u64>; 5] = Default::default();
    for round in clock.rounds(ROUNDS)? {
        let [entered, left] = round.answer.map(|time| time as u64);
        let begins = [round.began, round.sent, entered, left, round.heard];
        let ends = [round.sent, entered, left, round.heard, round.ended];
        for ((begin, end), stage) in begins.into_iter().zip(ends).zip(&mut stages) {
            stage.push(end.saturating_sub(begin));
        }
    }
    let names = [
        "host: the request is written and sent",
        "the process wakes up, reads it, calls execute",
        "execute",
        "the process writes the response, the host wakes up and reads it",
        "host: the response is checked",
    ];
    names.into_iter().zip(stages).for_each(|(name, times)| print_row(name, times));
    println!("\nprocessor time per round trip: {:.1} µs (host {host:.1}, process {runner:.1})", host + runner);
    Ok(())
}

// === impl Runner ===

impl Runner {
    fn start(interpreter: &Path, text: &str) -> Result<Self, Box<dyn Error>> {
        let directory = tempfile::tempdir()?;
        let version_directory = directory.path().join("1");
        fs::create_dir(&version_directory)?;
        fs::write(version_directory.join("model.py"), text)?;
        let mut config = nereid_config::parse_text("config.pbtxt", CONFIG)?;
        config.name = "round_trip".to_owned();
        let signature = Signature::of_backend(&config)?;
        let mut settings = PythonSettings::default();
        settings.set("python-executable", &std::path::absolute(interpreter)?.to_string_lossy())?;
        let backend = PythonBackend::new(settings, PythonLimits::default(), PythonPorts::default());
        let model = backend.load(&ModelSource {
            identity: ModelIdentity::new("round_trip", 1),
            model_directory: directory.path().into(),
            version_directory,
            config,
            clock: LoadClock::default(),
        })?;
        let spec = InstanceSpec { name: "round_trip_0".into(), kind: Default::default(), device_id: 0 };
        match model.new_instance(&spec)? {
            Instance::Blocking(instance) => Ok(Self { instance, signature, _directory: directory }),
            Instance::Task(_) => Err("expected an instance that blocks".into()),
        }
    }

    fn rounds(&mut self, count: usize) -> Result<Vec<Round>, Box<dyn Error>> {
        (0..count).map(|_| self.round()).collect()
    }

    fn round(&mut self) -> Result<Round, Box<dyn Error>> {
        let tensor = Tensor::from_elements([8], &[1_i64, 2, 3, 4, 5, 6, 7, 8])?;
        let request = self.signature.check(InferRequest::new(vec![NamedTensor::new("X", tensor)]))?;
        let (sender, _stream) = response_channel();
        let mut batch = Batch::new([(request, sender)]);
        let (start, began) = (Instant::now(), now());
        self.instance.execute(&mut batch);
        let ended = now();
        let timeline = batch.timeline();
        let at = |mark: Option<Instant>| mark.map_or(began, |mark| began + (mark - start).as_nanos() as u64);
        let (sent, heard) = (at(timeline.inputs_ready), at(timeline.outputs_started));
        let finished = batch.finish().next().and_then(|finished| finished.answer).ok_or("no answer")?;
        let response = finished.1?;
        let elements =
            response.output("Y").and_then(|output| output.elements::<i64>()).ok_or("no output Y of INT64")?;
        let answer = *elements.first_chunk().ok_or("two elements at least")?;
        Ok(Round { began, sent, heard, ended, answer })
    }
}

/// What two threads need to wake each other up, without anything to do.
fn floor() -> Result<Vec<u64>, Box<dyn Error>> {
    let (mut ours, mut theirs) = UnixStream::pair()?;
    let echo = thread::spawn(move || {
        let mut byte = [0];
        while theirs.read_exact(&mut byte).and_then(|()| theirs.write_all(&byte)).is_ok() {}
    });
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let began = now();
        ours.write_all(&[1])?;
        ours.read_exact(&mut [0])?;
        times.push(now() - began);
    }
    drop(ours);
    echo.join().map_err(|_| "the echo failed")?;
    Ok(times)
}

/// Nanoseconds on the clock that Python calls monotonic.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The one process that this one started.
fn children() -> Result<String, Box<dyn Error>> {
    let threads = fs::read_dir("/proc/self/task")?;
    let found = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let found: String = found.collect();
    found.split_whitespace().next().map(str::to_owned).ok_or_else(|| "no child process".into())
}

/// Of all threads of a process.
fn processor_time(process: &str) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let of_thread = |thread: fs::DirEntry| {
        let line = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        line.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    };
    threads.filter_map(of_thread).sum()
}

fn print_row(what: &str, mut nanoseconds: Vec<u64>) {
    nanoseconds.sort_unstable();
    let count = nanoseconds.len();
    let microseconds = |place: usize| nanoseconds.get(place).map_or(f64::NAN, |time| *time as f64 / 1e3);
    println!("| {what} | {:.1} | {:.1} |", microseconds(count / 2), microseconds(count * 99 / 100));
}
