//! The compiler for guests: whichever is there, the command that builds a guest is the same.
//!
//! In this order: the target of the active toolchain (`rustup target add wasm32-unknown-unknown`); Debian's `rustc-web`,
//! whose sources let cargo build the standard library itself; the same package unpacked into `.nereid/rust-web` with no
//! root; the target through rustup. In each case `wasm-component-ld`, which every stable toolchain carries, links
//! straight to a component. Cost of the second and third: one build of the standard library, some 20 seconds.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Failure, Home,
    command::{announce, capture, cargo, run, succeeds},
    debian,
};

const TARGET: &str = "wasm32-unknown-unknown";
/// Vector instructions pay 1.7 to 3 times on tensor loops, and every host of ours has them.
const RUST_FLAGS: &str = "-C linker=wasm-component-ld -C target-feature=+simd128";
/// What `rust-version` of the guests' workspaces says; cargo refuses an older compiler.
const MINOR_MIN: u32 = 95;

/// A compiler that can build guests.
pub enum GuestToolchain {
    /// The active toolchain has the target installed.
    Installed,
    /// This compiler has the sources of the standard library beside it; `libraries` are its own shared libraries.
    FromSource { rustc: PathBuf, libraries: Option<PathBuf> },
}

pub fn describe(home: &Home) -> Option<String> {
    Some(match GuestToolchain::find(home)? {
        GuestToolchain::Installed => format!("{TARGET} of the active toolchain"),
        GuestToolchain::FromSource { rustc, .. } => format!("{} with its own standard library", home.show(&rustc)),
    })
}

pub fn fetch(home: &Home) -> Result<(), Failure> {
    let is_new_enough = |version: &str| minor_version(version) >= MINOR_MIN;
    debian::ensure_lists_offer("rustc-web", is_new_enough)?;
    if debian::candidate("rustc-web").as_deref().is_some_and(is_new_enough) {
        return unpack_debian_compiler(home);
    }
    if succeeds(Command::new("rustup").arg("--version")) {
        announce(format_args!("adding the target {TARGET} to the active Rust toolchain"));
        return run(Command::new("rustup").args(["target", "add", TARGET]));
    }
    Err(Failure::new(format!(
        "no compiler for guests: this system has neither rustup (`rustup target add {TARGET}`) nor Debian's package rustc-web in version 1.{MINOR_MIN} or later"
    )))
}

fn unpack_debian_compiler(home: &Home) -> Result<(), Failure> {
    let scratch = home.scratch("rust-web")?;
    let packages = debian_packages()?;
    announce(format_args!(
        "unpacking into {} (750 MB, the system stays as it is): {}",
        home.show(&home.path("rust-web")),
        packages.join(" ")
    ));
    let unpacked = scratch.join("root");
    debian::unpack(&packages, &scratch, &unpacked)?;
    let folder = home.path("rust-web");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(Failure::io(format_args!("remove {}", folder.display())))?;
    }
    fs::rename(&unpacked, &folder).map_err(Failure::io(format_args!("place {}", folder.display())))?;
    fs::remove_dir_all(&scratch).map_err(Failure::io(format_args!("remove {}", scratch.display())))
}

/// The compiler, its sources, its own libraries even where the system has them (a compiler looks for its standard library
/// beside them), and what the system lacks below these.
fn debian_packages() -> Result<Vec<String>, Failure> {
    let version = debian::candidate("rustc-web").unwrap_or_default();
    let own = format!("libstd-rust-web-1.{}", minor_version(&version));
    let mut packages = debian::missing_below(&["rustc-web", "rust-web-src"])?;
    packages.extend(["rustc-web", "rust-web-src", "libstd-rust-web-dev", &own].map(str::to_owned));
    packages.sort();
    packages.dedup();
    Ok(packages)
}

/// `85` of `1.85.0+dfsg3-1`.
fn minor_version(version: &str) -> u32 {
    version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or(0)
}

// === impl GuestToolchain ===

impl GuestToolchain {
    pub fn find(home: &Home) -> Option<Self> {
        if active_toolchain_has_target() {
            return Some(Self::Installed);
        }
        let unpacked = home.path("rust-web/usr");
        Self::with_sources(Path::new("/usr"), None)
            .or_else(|| Self::with_sources(&unpacked, Some(unpacked.join("lib").join(multiarch()))))
    }

    /// A compiler whose folder also has the sources of the standard library, of the same version.
    fn with_sources(prefix: &Path, libraries: Option<PathBuf>) -> Option<Self> {
        let rustc = prefix.join("bin/rustc");
        let has_sources = prefix.join("lib/rustlib/src/rust/library/Cargo.lock").is_file();
        let mut command = Command::new(&rustc);
        if let Some(libraries) = &libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        let version = capture(command.arg("--version")).ok()?;
        let is_new_enough = minor_version(version.strip_prefix("rustc ")?) >= MINOR_MIN;
        (has_sources && is_new_enough).then_some(Self::FromSource { rustc, libraries })
    }

    /// `cargo build` for the guests of the cargo workspace in `folder`.
    pub fn build_command(&self, folder: &Path, target_folder: &Path) -> Result<Command, Failure> {
        let mut command = cargo(folder);
        command.args(["build", "--release", "--target", TARGET, "--target-dir"]).arg(target_folder);
        // Flags meant for the host must not reach the guest.
        command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", RUST_FLAGS);
        command.env("PATH", path_with_linker()?);
        if let Self::FromSource { rustc, libraries } = self {
            command.args(["-Z", "build-std=std,panic_abort"]).env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
            if let Some(libraries) = libraries {
                command.env("LD_LIBRARY_PATH", libraries);
            }
        }
        Ok(command)
    }

    /// Where the build leaves its components.
    pub fn output_folder(target_folder: &Path) -> PathBuf {
        target_folder.join(TARGET).join("release")
    }
}

fn active_toolchain_has_target() -> bool {
    let libraries = capture(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]));
    libraries.is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

fn multiarch() -> &'static str {
    if cfg!(target_arch = "aarch64") { "aarch64-linux-gnu" } else { "x86_64-linux-gnu" }
}

/// `PATH` with the folder of `wasm-component-ld` and `rust-lld` in front.
fn path_with_linker() -> Result<std::ffi::OsString, Failure> {
    let sysroot = capture(Command::new("rustc").args(["--print", "sysroot"]))?;
    let about = capture(Command::new("rustc").arg("-vV"))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    let folder = Path::new(sysroot.trim()).join("lib/rustlib").join(host).join("bin");
    if !folder.join("wasm-component-ld").is_file() {
        return Err(Failure::new(format!(
            "no wasm-component-ld in {}: the Rust toolchain from rustup carries it, since 1.82",
            folder.display()
        )));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path)))
        .map_err(|error| Failure::new(format!("cannot extend PATH: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_compiler_and_package_are_read_alike() {
        assert_eq!(minor_version("1.96.0+dfsg1-1~deb12u2"), 96);
        assert_eq!(minor_version("1.85.0 (4d91de4e4 2025-02-17)"), 85);
        assert_eq!(minor_version("nonsense"), 0);
    }

    #[test]
    fn the_version_wanted_is_the_one_that_the_guests_declare() {
        let declared = format!("rust-version = \"1.{MINOR_MIN}\"");
        for manifest in [include_str!("../../../plugins/Cargo.toml"), include_str!("../../../tests/guests/Cargo.toml")]
        {
            assert!(manifest.contains(&declared), "expected {declared} in {manifest}");
        }
    }
}
