//! Building `nereid` and running it for as long as a command needs it.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    command::{announce, cargo, run},
    failure::Failure,
    workspace::{Workspace, create_folder},
};

/// What is served.
pub(crate) const REPOSITORY: &str = "model_repository";
/// Loading the demo's models takes a second or two; a cold plugin cache on a busy machine some ten.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
const READY_POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The demo has nothing in flight when it ends, so a drain is immediate.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(40);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Dev,
    Release,
}

/// Three ports in a row: HTTP, gRPC, metrics.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) http: u16,
    pub(crate) grpc: u16,
    pub(crate) metrics: u16,
}

/// A running server; ended when dropped.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    pub(crate) ports: Ports,
}

/// Builds the server and says where it lies.
///
/// The dev profile builds the tests along with it: alone, the server would need wasmtime with fewer features than the
/// tests do, and wasmtime would be compiled a second time.
pub(crate) fn build(workspace: &Workspace, profile: Profile) -> Result<PathBuf, Failure> {
    let mut command = cargo(workspace.root());
    command.arg("build");
    let folder = match profile {
        Profile::Dev => {
            command.args(["--workspace", "--lib", "--bins", "--tests"]);
            "target/debug"
        }
        Profile::Release => {
            command.args(["--package", "nereid-server", "--release"]);
            "target/release"
        }
    };
    announce("building the server (the first time, wasmtime takes minutes)");
    run(&mut command)?;
    Ok(workspace.path(folder).join("nereid"))
}

// === impl Ports ===

impl Ports {
    pub(crate) fn from_base(base: u16) -> Result<Self, Failure> {
        let above = |offset| base.checked_add(offset).ok_or_else(|| Failure::new(format!("no ports above {base}")));
        Ok(Self { http: base, grpc: above(1)?, metrics: above(2)? })
    }

    /// The first three in a row, from a start that differs between processes, that nobody listens on.
    pub(crate) fn free() -> Result<Self, Failure> {
        let start = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap_or(0);
        let base = (start..start + 1000).step_by(3).find(|base| (*base..*base + 3).all(is_free));
        Self::from_base(base.ok_or_else(|| Failure::new("no three free ports in a row"))?)
    }

    /// Another server on one of the ports would be taken for ours: its health request would be answered first.
    fn expect_free(self) -> Result<(), Failure> {
        match [self.http, self.grpc, self.metrics].into_iter().find(|port| !is_free(*port)) {
            None => Ok(()),
            Some(port) => Err(Failure::new(format!(
                "port {port} is in use: end the program that listens there, or choose others with --port-base N"
            ))),
        }
    }
}

// === impl Server ===

impl Server {
    /// Starts `binary` on `model_repository`, on loopback, and waits until it is ready.
    pub(crate) fn start(workspace: &Workspace, binary: &Path, ports: Ports) -> Result<Self, Failure> {
        ports.expect_free()?;
        create_folder(&workspace.fetched(""))?;
        let log = workspace.fetched("demo-server.log");
        let log_file = File::create(&log).map_err(Failure::io(format_args!("create {}", log.display())))?;
        let error_file = log_file.try_clone().map_err(Failure::io("share the log file"))?;
        announce(format_args!("starting {} (its log: {})", workspace.show(binary), workspace.show(&log)));
        let mut command = Command::new(binary);
        command.current_dir(workspace.root()).arg("serve").args(Self::arguments(ports));
        let child = command.stdin(Stdio::null()).stdout(log_file).stderr(error_file).spawn();
        let child = child.map_err(Failure::io(format_args!("start {}", binary.display())))?;
        let mut server = Self { child, log, ports };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn arguments(ports: Ports) -> Vec<String> {
        let mut arguments = vec![format!("--model-repository={REPOSITORY}")];
        for (name, port) in [("http", ports.http), ("grpc", ports.grpc), ("metrics", ports.metrics)] {
            arguments.extend([format!("--{name}-address=127.0.0.1"), format!("--{name}-port={port}")]);
        }
        arguments
    }

    fn wait_until_ready(&mut self) -> Result<(), Failure> {
        let started = Instant::now();
        while started.elapsed() < READY_TIMEOUT {
            if is_ready(self.ports.http) {
                println!("    ready after {} ms", started.elapsed().as_millis());
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(Failure::new(format!(
                    "the server ended with {status} before it was ready:\n{}",
                    self.log_tail()
                )));
            }
            thread::sleep(READY_POLL_INTERVAL);
        }
        Err(Failure::new(format!("the server was not ready after {} s:\n{}", READY_TIMEOUT.as_secs(), self.log_tail())))
    }

    /// The end of the log, for a failure's text.
    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(40)).map(|line| format!("    | {line}\n")).collect()
    }

    /// Waits until someone else ends the server: Ctrl-C reaches it and us alike.
    pub(crate) fn wait(mut self) -> Result<ExitStatus, Failure> {
        self.child.wait().map_err(Failure::io("wait for the server"))
    }

    /// Ends the server as an operator would, and expects a clean drain.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        run(Command::new("kill").args(["-TERM", &self.child.id().to_string()]))?;
        let started = Instant::now();
        while started.elapsed() < DRAIN_TIMEOUT {
            match self.child.try_wait().map_err(Failure::io("wait for the server"))? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(Failure::new(format!(
                        "the server ended with {status} after SIGTERM:\n{}",
                        self.log_tail()
                    )));
                }
                None => thread::sleep(READY_POLL_INTERVAL),
            }
        }
        Err(Failure::new(format!("the server did not end within {} s of SIGTERM", DRAIN_TIMEOUT.as_secs())))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended is fine: this is the path of a failure elsewhere.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// One health request, by hand: an HTTP client would be xtask's only dependency.
fn is_ready(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let request = "GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.lines().next().is_some_and(|status| status.contains(" 200 "))
}
