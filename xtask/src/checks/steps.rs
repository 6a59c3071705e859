//! The list of checks. A new one is a line here.

use crate::{
    checks::Step,
    clients,
    command::{cargo, run, run_observed},
    demo,
    failure::Failure,
    fuzz, gpu, guests,
    server::{self, Ports, Profile},
    setup,
    tally::Tally,
    workspace::Workspace,
};

/// Cheap ones first. `build` compiles exactly what `unit` and the end-to-end steps use, in one profile, with one set of
/// features: nothing is compiled twice.
pub(super) const STEPS: [Step; 13] = [
    Step { name: "fmt", purpose: "the formatting of every crate", needs: &[], by_default: true, run: fmt },
    Step { name: "setup", purpose: "what is needed from outside", needs: &[], by_default: true, run: fetch },
    Step {
        name: "guests",
        purpose: "every plugin and test guest, to a component",
        needs: &["setup"],
        by_default: true,
        run: build_guests,
    },
    Step { name: "build", purpose: "the server and every test, dev profile", needs: &[], by_default: true, run: build },
    Step {
        name: "clippy",
        purpose: "lints of every target, warnings are errors",
        needs: &[],
        by_default: true,
        run: clippy,
    },
    Step {
        name: "unit",
        purpose: "cargo test of the workspace, tidy included",
        needs: &["build", "guests"],
        by_default: true,
        run: unit,
    },
    Step {
        name: "orders",
        purpose: "the code in which threads meet, under many orders of their steps",
        needs: &[],
        by_default: true,
        run: orders,
    },
    Step {
        name: "clients",
        purpose: "real clients and conformance cases against the server",
        needs: &["setup", "guests", "build"],
        by_default: true,
        run: run_clients,
    },
    Step {
        name: "gpu",
        purpose: "tests/gpu on a CUDA device; without one memory, copies and plans alone, in software",
        needs: &["setup", "build"],
        by_default: true,
        run: run_gpu,
    },
    Step {
        name: "demo",
        purpose: "`cargo xtask demo --once`",
        needs: &["setup", "guests", "build"],
        by_default: true,
        run: run_demo,
    },
    Step {
        name: "guest-unit",
        purpose: "lints and unit tests of plugins and SDK",
        needs: &[],
        by_default: true,
        run: guest_unit,
    },
    Step {
        name: "fuzz",
        purpose: "every fuzz target: its seeds, then some seconds",
        needs: &["build"],
        by_default: true,
        run: run_fuzz,
    },
    // `unit` contains it; alone it takes seconds.
    Step { name: "tidy", purpose: "the rules of the house alone", needs: &[], by_default: false, run: tidy },
];

/// Where `build` leaves the server.
const SERVER: &str = "target/debug/nereid";

/// Seeds take no time; the rest finds what a change broke grossly. Long runs are for people: see tests/fuzz/README.md.
const FUZZ_SECONDS: u32 = 5;

fn fmt(workspace: &Workspace, _: &mut Tally) -> Result<(), Failure> {
    run(cargo(workspace.root()).args(["fmt", "--all", "--check"]))?;
    run(cargo(&workspace.path(fuzz::FOLDER)).args(["fmt", "--package", "nereid-fuzz", "--check"]))?;
    guests::WORKSPACES
        .iter()
        .try_for_each(|folder| run(cargo(&workspace.path(folder)).args(["fmt", "--all", "--check"])))
}

fn fetch(workspace: &Workspace, _: &mut Tally) -> Result<(), Failure> {
    setup::ensure(workspace, &setup::BACKENDS)?;
    setup::ensure(workspace, &[&setup::GUESTS])?;
    setup::ensure(workspace, &setup::PLUGIN_LANGUAGES)?;
    setup::ensure(workspace, &setup::CLIENTS)
}

fn build_guests(workspace: &Workspace, _: &mut Tally) -> Result<(), Failure> {
    guests::build(workspace)
}

fn build(workspace: &Workspace, _: &mut Tally) -> Result<(), Failure> {
    server::build(workspace, Profile::Dev).map(|_| ())
}

fn clippy(workspace: &Workspace, _: &mut Tally) -> Result<(), Failure> {
    run(cargo(workspace.root()).args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
}

fn unit(workspace: &Workspace, tally: &mut Tally) -> Result<(), Failure> {
    let mut command = cargo(workspace.root());
    // Guests are there by now: tests of theirs that find none must not be left out.
    command
        .args(["test", "--workspace", "--no-fail-fast"])
        .env("NEREID_REQUIRE_GUESTS", "1")
        .env("NEREID_REQUIRE_NVRTC", "1");
    run_observed(&mut command, |line| tally.read(line))
}

/// The tests called `interleavings`, over locks and threads that shuttle steps: some seconds after some compiling.
fn orders(workspace: &Workspace, tally: &mut Tally) -> Result<(), Failure> {
    let mut command = cargo(workspace.root());
    command.args(["test", "--lib"]);
    for package in ["nereid-inference", "nereid-scheduler", "nereid-cache", "nereid-repository"] {
        command.args(["--package", package, "--features", &format!("{package}/shuttle")]);
    }
    run_observed(command.arg("interleavings"), |line| tally.read(line))
}

fn run_clients(workspace: &Workspace, tally: &mut Tally) -> Result<(), Failure> {
    clients::run_suite(workspace, &workspace.path(SERVER), &[], tally)
}

fn run_gpu(workspace: &Workspace, tally: &mut Tally) -> Result<(), Failure> {
    gpu::run(workspace, &workspace.path(SERVER), tally)
}

fn run_demo(workspace: &Workspace, _: &mut Tally) -> Result<(), Failure> {
    demo::show(workspace, &workspace.path(SERVER), Ports::free()?, true)
}

/// On this machine, not in the sandbox: what plugins and SDK test are functions over numbers and slices.
fn guest_unit(workspace: &Workspace, tally: &mut Tally) -> Result<(), Failure> {
    let target_folder = workspace.path("target/guests");
    for folder in guests::WORKSPACES {
        let mut command = cargo(&workspace.path(folder));
        command.args(["clippy", "--workspace", "--all-targets", "--target-dir"]).arg(&target_folder);
        run(command.args(["--", "--deny", "warnings"]))?;
    }
    let mut command = cargo(&workspace.path("plugins"));
    command.args(["test", "--workspace", "--no-fail-fast", "--target-dir"]).arg(&target_folder);
    run_observed(&mut command, |line| tally.read(line))
}

fn run_fuzz(workspace: &Workspace, tally: &mut Tally) -> Result<(), Failure> {
    fuzz::build(workspace)?;
    for target in fuzz::TARGETS {
        fuzz::fuzz(workspace, target, FUZZ_SECONDS)?;
        tally.passed += 1;
    }
    Ok(())
}

fn tidy(workspace: &Workspace, tally: &mut Tally) -> Result<(), Failure> {
    let mut command = cargo(workspace.root());
    command.args(["test", "--package", "nereid-tests", "--test", "tidy"]);
    run_observed(&mut command, |line| tally.read(line))
}
