//! LibTorch out of PyTorch's wheel, and the shim between it and the server, compiled here.
//!
//! Of 4.7 GB that `pip install torch` would bring, 0.46 GB are used when a model is executed on the CPU: `libtorch_cpu` and
//! what it links. Kept beside them are the headers, so that a shim that changed is compiled again without a download.
//! Needs g++, which is installed (after saying so) when it is missing; cargo compiles nothing of this.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{
    command::{announce, run, succeeds},
    failure::Failure,
    setup::{debian, python},
    workspace::{Workspace, create_folder, list_folder},
};

const VERSION: &str = "2.11.0";
const CUDA_RUNTIME_VERSION: &str = "13.0.96";
const CUDA_PROFILING_VERSION: &str = "13.0.85";

/// What is taken out of a wheel, and where it goes below `.nereid/pytorch`.
type Parts = &'static [(&'static str, &'static str)];

/// Package, version, parts.
const WHEELS: [(&str, &str, Parts); 3] = [
    (
        "torch",
        VERSION,
        &[
            ("torch/lib/libtorch_cpu.so", "lib"),
            ("torch/lib/libc10.so", "lib"),
            ("torch/lib/libgomp.so.1", "lib"),
            ("torch/include/", "include"),
        ],
    ),
    ("nvidia-cuda-runtime", CUDA_RUNTIME_VERSION, &[("nvidia/cu13/lib/libcudart.so.13", "lib")]),
    ("nvidia-cuda-cupti", CUDA_PROFILING_VERSION, &[("nvidia/cu13/lib/libcupti.so.13", "lib")]),
];

const SHIM_SOURCES: &str = "host/backends/pytorch/shim";

/// The folder that the server finds by itself.
fn folder(workspace: &Workspace) -> PathBuf {
    workspace.fetched("pytorch")
}

fn shim(workspace: &Workspace) -> PathBuf {
    folder(workspace).join("libnereid_torch.so")
}

/// Written when the libraries are complete; says which.
fn libraries_stamp(workspace: &Workspace) -> PathBuf {
    folder(workspace).join("lib/version")
}

/// What the shim was compiled from.
fn shim_stamp(workspace: &Workspace) -> PathBuf {
    folder(workspace).join("shim.sources")
}

pub(crate) fn find(workspace: &Workspace) -> Option<String> {
    let sources = sources_text(workspace).ok()?;
    let is_current = has_libraries(workspace)
        && shim(workspace).is_file()
        && fs::read_to_string(shim_stamp(workspace)).is_ok_and(|compiled| compiled == sources);
    is_current.then(|| workspace.show(&shim(workspace)))
}

pub(crate) fn fetch(workspace: &Workspace) -> Result<(), Failure> {
    if !cfg!(target_arch = "x86_64") {
        return Err(Failure::new("the wheels that this takes LibTorch from are for x86-64 only"));
    }
    if !has_libraries(workspace) {
        fetch_libraries(workspace)?;
    }
    if !succeeds(Command::new("g++").arg("--version")) {
        debian::install(&["g++"], "compiling the shim of the pytorch backend")?;
    }
    compile(workspace)
}

/// A link in place of the libraries is a developer's own LibTorch, such as one for CUDA: it is left alone.
fn has_libraries(workspace: &Workspace) -> bool {
    let is_own = folder(workspace).join("lib").is_symlink() && folder(workspace).join("include").is_dir();
    is_own || fs::read_to_string(libraries_stamp(workspace)).is_ok_and(|version| version == VERSION)
}

fn fetch_libraries(workspace: &Workspace) -> Result<(), Failure> {
    let scratch = workspace.scratch("pytorch")?;
    let unpacked = scratch.join("unpacked");
    for (package, version, parts) in WHEELS {
        announce(format_args!("pytorch: {package} {version}"));
        let wheel = python::download_wheel(workspace, package, version, &scratch)?;
        for (member, target) in parts {
            let target = unpacked.join(target);
            create_folder(&target)?;
            python::unpack_tree(&wheel, member, &target)?;
        }
        fs::remove_file(&wheel).map_err(Failure::io(format_args!("remove {}", wheel.display())))?;
    }
    let stamp = unpacked.join("lib/version");
    fs::write(&stamp, VERSION).map_err(Failure::io(format_args!("write {}", stamp.display())))?;
    // Put in place when complete: an interrupted download never looks like a library.
    create_folder(&folder(workspace))?;
    for part in ["include", "lib"] {
        let target = folder(workspace).join(part);
        if target.exists() {
            fs::remove_dir_all(&target).map_err(Failure::io(format_args!("remove {}", target.display())))?;
        }
        fs::rename(unpacked.join(part), &target).map_err(Failure::io(format_args!("place {}", target.display())))?;
    }
    fs::remove_dir_all(&scratch).map_err(Failure::io(format_args!("remove {}", scratch.display())))
}

/// The shim, one compiler per file, all at a time.
fn compile(workspace: &Workspace) -> Result<(), Failure> {
    announce("pytorch: compiling the shim (about a minute)");
    stand_in(&folder(workspace).join("lib"))?;
    let scratch = workspace.scratch("pytorch-shim")?;
    let mut objects = Vec::new();
    let mut compilers = Vec::new();
    for source in sources(workspace)?.into_iter().filter(|file| file.extension().is_some_and(|end| end == "cpp")) {
        let object = scratch.join(source.file_stem().unwrap_or_default()).with_extension("o");
        compilers.push((source.clone(), start_compiler(workspace, &source, &object)?));
        objects.push(object);
    }
    for (source, mut compiler) in compilers {
        let status = compiler.wait().map_err(Failure::io(format_args!("wait for g++")))?;
        if !status.success() {
            return Err(Failure::new(format!("g++ could not compile {}", workspace.show(&source))));
        }
    }
    let linked = scratch.join("libnereid_torch.so");
    let libraries = folder(workspace).join("lib");
    run(Command::new("g++").arg("-shared").args(&objects).arg("-o").arg(&linked).arg("-L").arg(&libraries).args([
        "-Wl,--no-as-needed",
        "-ltorch_cpu",
        "-lc10",
        "-Wl,--allow-shlib-undefined",
        "-Wl,-rpath,$ORIGIN/lib",
    ]))?;
    let target = shim(workspace);
    fs::rename(&linked, &target).map_err(Failure::io(format_args!("place {}", target.display())))?;
    let stamp = shim_stamp(workspace);
    fs::write(&stamp, sources_text(workspace)?).map_err(Failure::io(format_args!("write {}", stamp.display())))?;
    fs::remove_dir_all(&scratch).map_err(Failure::io(format_args!("remove {}", scratch.display())))
}

/// What AOTInductor packages ask for by the name `libtorch.so`. PyTorch's own would bring all that is for CUDA; this one brings
/// the part for the CPU.
fn stand_in(libraries: &Path) -> Result<(), Failure> {
    let target = libraries.join("libtorch.so");
    if target.exists() {
        return Ok(());
    }
    let compiler = &mut Command::new("g++");
    compiler.args(["-shared", "-fPIC", "-x", "c++", "/dev/null", "-x", "none", "-o"]).arg(&target).arg("-L");
    run(compiler.arg(libraries).args([
        "-Wl,-soname,libtorch.so",
        "-Wl,--no-as-needed",
        "-ltorch_cpu",
        "-lc10",
        "-Wl,--allow-shlib-undefined",
        "-Wl,-rpath,$ORIGIN",
    ]))
}

fn start_compiler(workspace: &Workspace, source: &Path, object: &Path) -> Result<Child, Failure> {
    let include = folder(workspace).join("include");
    println!("    $ g++ -c {}", workspace.show(source));
    Command::new("g++")
        .args(["-std=c++17", "-O1", "-fPIC", "-Wall", "-c"])
        .arg(source)
        .arg("-o")
        .arg(object)
        .arg("-isystem")
        .arg(&include)
        .arg("-isystem")
        .arg(include.join("torch/csrc/api/include"))
        .stdin(Stdio::null())
        .spawn()
        .map_err(Failure::io(format_args!("start g++")))
}

/// Headers and sources, in the order of their names.
fn sources(workspace: &Workspace) -> Result<Vec<PathBuf>, Failure> {
    let mut files = list_folder(&workspace.path(SHIM_SOURCES))?;
    files.sort();
    Ok(files)
}

/// All of it in one text, with the version of the headers: what is compared, so that no clock matters.
fn sources_text(workspace: &Workspace) -> Result<String, Failure> {
    let mut text = format!("LibTorch {VERSION}\n");
    for file in sources(workspace)? {
        text += &fs::read_to_string(&file).map_err(Failure::io(format_args!("read {}", file.display())))?;
    }
    Ok(text)
}
