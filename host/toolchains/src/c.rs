//! Zig, whose C compiler makes WebAssembly and brings its own libc: one wheel of the Python index, in `plugin_languages`.
//!
//! The first compilation builds that libc, half a minute; it is kept in `plugin_c`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Failure, Home,
    command::{capture, run_with_heartbeat},
    python,
};

const PACKAGE: &str = "ziglang";
const VERSION: &str = "0.17.0";

/// A reactor is what is called and does not run by itself. The stack would be 16 MiB, all of which every instance has. Names are
/// kept, so that a trap can be read; places would cost more than the program.
const FLAGS: [&str; 9] = [
    "-target",
    "wasm32-wasi",
    "-mexec-model=reactor",
    "-std=c11",
    "-O3",
    "-msimd128",
    "-g0",
    "-Wall",
    "-Wl,-z,stack-size=262144",
];

/// What is compiled into one module.
#[derive(Clone, Copy, Debug)]
pub struct Compilation<'a> {
    pub files: &'a [PathBuf],
    /// Where headers are looked for.
    pub includes: &'a [&'a Path],
    /// A macro that is defined.
    pub define: &'a str,
}

pub fn find(home: &Home) -> Option<String> {
    let version = capture(zig(home).arg("version")).ok()?;
    (version.trim() == VERSION).then(|| format!("zig cc {VERSION}"))
}

pub fn fetch(home: &Home) -> Result<(), Failure> {
    python::install(home, PACKAGE, VERSION)
}

/// Compiles and links.
///
/// # Errors
/// The compiler cannot be started, or refuses a file; it has said why.
pub fn compile(home: &Home, compilation: &Compilation<'_>, module: &Path) -> Result<(), Failure> {
    let mut command = zig(home);
    command.arg("cc").args(FLAGS).arg(format!("-D{}", compilation.define));
    for folder in compilation.includes {
        command.arg("-I").arg(folder);
    }
    run_with_heartbeat(command.args(compilation.files).arg("-o").arg(module))
}

fn zig(home: &Home) -> Command {
    let mut command = Command::new(python::environment(home).join("bin/python"));
    let cache = home.path("plugin_c");
    command.args(["-m", "ziglang"]).env("ZIG_GLOBAL_CACHE_DIR", &cache).env("ZIG_LOCAL_CACHE_DIR", &cache);
    command
}
