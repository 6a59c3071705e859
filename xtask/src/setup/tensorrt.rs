//! The shim between TensorRT and the server, compiled here, and of TensorRT what can be had: the lean runtime.
//!
//! The whole of TensorRT is in no package registry. An operator who has it names its headers in `NEREID_TENSORRT_HEADERS`
//! and gets a shim of its major version; otherwise the headers are those of TensorRT 11, out of a crate that carries them
//! (Apache-2.0), which cargo fetches and nothing compiles. The lean runtime out of the Python wheel executes engines that were
//! built version-compatible, and no others.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    command::{run, run_with_heartbeat, succeeds},
    failure::Failure,
    setup::{debian, python},
    workspace::{Workspace, create_folder, list_folder},
};

const HEADERS_VARIABLE: &str = "NEREID_TENSORRT_HEADERS";

/// The crate with the headers, and where they are in it.
const HEADERS_CRATE: &str = "trtx-sys";
const HEADERS_CRATE_VERSION: &str = "0.9.1";
const HEADERS_FOLDER: &str = "TensorRT-Headers";
const HEADERS_RELEASE: &str = "TRT-Enterprise-11.4";

const LEAN_PACKAGE: &str = "tensorrt_lean_cu13_libs";
const LEAN_VERSION: &str = "11.4.0.106";
const LEAN_LIBRARY: &str = "libnvinfer_lean.so.11";

const SHIM_SOURCES: &str = "host/backends/tensorrt/shim";

fn shim(workspace: &Workspace) -> PathBuf {
    workspace.fetched("tensorrt").join("libnereid_tensorrt.so")
}

/// Written when all is there; says what the shim was compiled from.
fn stamp(workspace: &Workspace) -> PathBuf {
    workspace.fetched("tensorrt/shim.sources")
}

pub(crate) fn find(workspace: &Workspace) -> Option<String> {
    let sources = sources_text(workspace).ok()?;
    let is_current = fs::read_to_string(stamp(workspace)).is_ok_and(|compiled| compiled == sources);
    is_current.then(|| workspace.show(&shim(workspace)))
}

pub(crate) fn fetch(workspace: &Workspace) -> Result<(), Failure> {
    let scratch = workspace.scratch("tensorrt")?;
    let unpacked = scratch.join("unpacked");
    create_folder(&unpacked)?;
    let own = own_headers();
    let include = match &own {
        Some(folder) => vec![folder.clone()],
        None => fetch_headers(&scratch)?,
    };
    compile(workspace, &include, &unpacked.join("libnereid_tensorrt.so"))?;
    if own.is_none() {
        let wheel = python::download_wheel(workspace, LEAN_PACKAGE, LEAN_VERSION, &scratch)?;
        python::unpack_file(&wheel, &format!("tensorrt_lean_libs/{LEAN_LIBRARY}"), &unpacked.join(LEAN_LIBRARY))?;
    }
    fs::write(unpacked.join("shim.sources"), sources_text(workspace)?)
        .map_err(Failure::io(format_args!("write its sources")))?;
    let folder = workspace.fetched("tensorrt");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(Failure::io(format_args!("remove {}", folder.display())))?;
    }
    // Put in place when complete: an interrupted download never looks like a library.
    fs::rename(&unpacked, &folder).map_err(Failure::io(format_args!("place {}", folder.display())))?;
    fs::remove_dir_all(&scratch).map_err(Failure::io(format_args!("remove {}", scratch.display())))
}

/// The operator's, where some are named.
fn own_headers() -> Option<PathBuf> {
    env::var_os(HEADERS_VARIABLE).filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// The folders of the headers, out of a crate that a package of ours, which nobody builds, depends on.
fn fetch_headers(scratch: &Path) -> Result<Vec<PathBuf>, Failure> {
    let package = scratch.join("headers");
    create_folder(&package.join("src"))?;
    let manifest = format!(
        "[package]\nname = \"headers\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         {HEADERS_CRATE} = {{ version = \"={HEADERS_CRATE_VERSION}\", default-features = false }}\n"
    );
    let write = |file: &str, text: &str| {
        fs::write(package.join(file), text).map_err(Failure::io(format_args!("write {file} for the headers")))
    };
    write("Cargo.toml", &manifest)?;
    write("src/lib.rs", "")?;
    run_with_heartbeat(Command::new("cargo").args(["vendor", "--quiet", "vendor"]).current_dir(&package))?;
    let headers = package.join("vendor").join(HEADERS_CRATE).join(HEADERS_FOLDER);
    let release = headers.join(HEADERS_RELEASE);
    match release.join("NvInferRuntime.h").is_file() {
        true => Ok(vec![headers, release]),
        false => Err(Failure::new(format!("{HEADERS_CRATE} {HEADERS_CRATE_VERSION} has no {HEADERS_RELEASE}"))),
    }
}

fn compile(workspace: &Workspace, include: &[PathBuf], target: &Path) -> Result<(), Failure> {
    if !succeeds(Command::new("g++").arg("--version")) {
        debian::install(&["g++"], "compiling the shim of the tensorrt backend")?;
    }
    let mut compiler = Command::new("g++");
    compiler.args(["-std=c++17", "-O1", "-fPIC", "-Wall", "-shared"]);
    compiler.arg(workspace.path(SHIM_SOURCES).join("tensorrt.cpp")).arg("-o").arg(target).arg("-ldl");
    for folder in include {
        compiler.arg("-isystem").arg(folder);
    }
    run(&mut compiler)
}

/// Headers and sources of the shim, with what else it is made of: what is compared, so that no clock matters.
fn sources_text(workspace: &Workspace) -> Result<String, Failure> {
    let headers = own_headers().map_or_else(|| HEADERS_RELEASE.to_owned(), |folder| folder.display().to_string());
    let mut text = format!("{headers}, lean runtime {LEAN_VERSION}\n");
    let mut files = list_folder(&workspace.path(SHIM_SOURCES))?;
    files.sort();
    for file in files {
        text += &fs::read_to_string(&file).map_err(Failure::io(format_args!("read {}", file.display())))?;
    }
    Ok(text)
}
