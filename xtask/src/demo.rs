//! `cargo xtask demo`: from a fresh clone to classified images with one command.
//!
//! Fetches what is missing, builds the server and the plugins, serves `model_repository` on loopback, lets Triton's own
//! client send real images over HTTP and gRPC, and leaves the server running until Ctrl-C. `--once` ends it instead.

use std::{path::PathBuf, process::Command};

use crate::{
    arguments::Arguments,
    command::{announce, run as run_command},
    failure::Failure,
    guests,
    server::{self, Ports, Profile, Server},
    setup::{self, python},
    workspace::{Workspace, list_folder},
};

/// Triton's default HTTP port; gRPC and metrics follow it.
const PORT_BASE: u16 = 8000;
/// Enough to see every digit, few enough to read.
const IMAGES_MAX: usize = 10;

pub(crate) fn run(workspace: &Workspace, mut arguments: Arguments) -> Result<(), Failure> {
    let once = arguments.flag("--once");
    let profile = if arguments.flag("--dev") { Profile::Dev } else { Profile::Release };
    let ports = Ports::from_base(arguments.value("--port-base")?.unwrap_or(PORT_BASE))?;
    let binary: Option<PathBuf> = arguments.value("--server")?;
    arguments.finish()?;

    announce("the demo fetches what is missing into .nereid/, builds into target/, and serves on 127.0.0.1");
    setup::ensure(workspace, &[&setup::ONNXRUNTIME, &setup::PYTHON])?;
    guests::build_served_by(workspace, server::REPOSITORY)?;
    let binary = binary.map_or_else(|| server::build(workspace, profile), |path| Ok(workspace.root().join(path)))?;
    show(workspace, &binary, ports, once)
}

/// Serves, classifies, and stays until Ctrl-C unless it is to happen `once`.
pub(crate) fn show(workspace: &Workspace, binary: &std::path::Path, ports: Ports, once: bool) -> Result<(), Failure> {
    let server = Server::start(workspace, binary, ports)?;
    announce("classifying images with tritonclient");
    if let Err(failure) = classify(workspace, ports) {
        return Err(Failure::new(format!("{failure}\nthe server said:\n{}", server.log_tail())));
    }
    let Ports { http, grpc, metrics } = ports;
    println!("\n    HTTP     http://127.0.0.1:{http}/v2");
    println!("    gRPC     127.0.0.1:{grpc}");
    println!("    metrics  http://127.0.0.1:{metrics}/metrics\n");
    println!(
        "    .nereid/venv/bin/python examples/vision/classify.py --http-url=127.0.0.1:{http} --grpc-url=127.0.0.1:{grpc} FILES..."
    );
    let (binary, picture) = (workspace.show(binary), "examples/vision/images/demo_7.jpg");
    println!("    {binary} infer vision_pipeline --url http://127.0.0.1:{http} -i image=@{picture}\n");
    if once {
        announce("ending the server");
        return server.stop();
    }
    announce("the server runs until Ctrl-C");
    server.wait().map(|_| ())
}

fn classify(workspace: &Workspace, ports: Ports) -> Result<(), Failure> {
    let mut command = Command::new(python::interpreter(workspace));
    command.current_dir(workspace.root()).arg("examples/vision/classify.py").args([
        format!("--http-url=127.0.0.1:{}", ports.http),
        format!("--grpc-url=127.0.0.1:{}", ports.grpc),
        "--model=vision_pipeline".to_owned(),
        "--model=vision_bls".to_owned(),
    ]);
    let images = list_folder(&workspace.path("examples/vision/images"))?;
    let is_image = |path: &&PathBuf| path.extension().is_some_and(|kind| kind == "jpg" || kind == "png");
    for image in images.iter().filter(is_image).take(IMAGES_MAX) {
        command.arg(workspace.show(image));
    }
    run_command(&mut command)
}
