//! Debian packages: unpacked into a folder of ours where that is enough, installed on the system where it is not.
//!
//! Promises: nothing is installed on the system before the exact command was printed, and nothing is ever removed from
//! it. Without root and sudo the command is printed and the program stops.

use std::{path::Path, process::Command};

use crate::{
    Failure,
    command::{announce, capture, run, succeeds},
    folders::{create_folder, list_folder},
};

/// The version that apt would install, if it knows the package.
pub fn candidate(package: &str) -> Option<String> {
    let policy = capture(Command::new("apt-cache").args(["policy", package]).env("LC_ALL", "C")).ok()?;
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}

/// Makes sure that apt's lists are there; a fresh container has none.
pub fn ensure_lists(package: &str) -> Result<(), Failure> {
    ensure_lists_offer(package, |_| true)
}

/// Makes sure that apt's lists offer a version of `package` that suits, or are as new as they can be: an image's lists are
/// as old as the image.
pub fn ensure_lists_offer(package: &str, suits: impl Fn(&str) -> bool) -> Result<(), Failure> {
    let offered = candidate(package);
    if offered.as_deref().is_some_and(suits) || !succeeds(Command::new("apt-get").arg("--version")) {
        return Ok(());
    }
    announce(match offered {
        Some(version) => format!("apt's package lists offer {package} {version}, which is too old; refreshing them"),
        None => "apt's package lists are empty; refreshing them".to_owned(),
    });
    as_root(&["apt-get", "update", "--quiet"])
}

/// Installs packages on the system, after saying so.
pub fn install(packages: &[&str], purpose: &str) -> Result<(), Failure> {
    if !succeeds(Command::new("apt-get").arg("--version")) {
        let names = packages.join(" and ");
        return Err(Failure::new(format!("{names} must be installed for {purpose}, and there is no apt-get here")));
    }
    announce(format_args!("installing Debian packages on this system for {purpose}: {}", packages.join(" ")));
    if let Some(package) = packages.first() {
        ensure_lists(package)?;
    }
    let mut words = vec!["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "--no-remove"];
    words.extend(packages);
    as_root(&words)
}

/// What must be downloaded so that `packages` work here: themselves and what the system lacks below them.
pub fn missing_below(packages: &[&str]) -> Result<Vec<String>, Failure> {
    let mut command = Command::new("apt-get");
    command.args(["install", "--simulate", "--no-install-recommends"]).args(packages).env("LC_ALL", "C");
    let plan = capture(&mut command)?;
    let installs = plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
    Ok(installs.map(str::to_owned).collect())
}

/// Downloads packages into `scratch` and unpacks their files below `folder`; the system stays as it is, no root needed.
pub fn unpack(packages: &[String], scratch: &Path, folder: &Path) -> Result<(), Failure> {
    for package in packages {
        ensure_lists(package)?;
    }
    create_folder(folder)?;
    if download(packages, scratch).is_err() {
        announce("apt could not fetch that: its package lists may name versions that are gone; refreshing them");
        as_root(&["apt-get", "update", "--quiet"])?;
        download(packages, scratch)?;
    }
    let is_package = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    for file in list_folder(scratch)?.into_iter().filter(is_package) {
        run(Command::new("dpkg-deb").arg("--extract").arg(file).arg(folder))?;
    }
    Ok(())
}

fn download(packages: &[String], folder: &Path) -> Result<(), Failure> {
    // As root, apt would warn that its helper user cannot write here; the download is ours anyway.
    run(Command::new("apt-get")
        .args(["download", "--quiet", "-o", "APT::Sandbox::User=root"])
        .args(packages)
        .current_dir(folder))
}

fn as_root(words: &[&str]) -> Result<(), Failure> {
    let is_root = capture(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    let has_sudo = succeeds(Command::new("sudo").arg("--version"));
    let prefix: &[&str] = if is_root { &["env"] } else { &["sudo", "env"] };
    if !is_root && !has_sudo {
        return Err(Failure::new(format!(
            "neither root nor sudo here; run this as root, then try again:\n  {}",
            words.join(" ")
        )));
    }
    let all: Vec<_> = prefix.iter().chain(&["DEBIAN_FRONTEND=noninteractive"]).chain(words).collect();
    let [program, rest @ ..] = all.as_slice() else { return Ok(()) };
    run(Command::new(program).args(rest))
}
