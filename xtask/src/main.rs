//! `cargo xtask`: the developer's commands. `cargo xtask help` lists them.
//!
//! Promises: every command says what it is about to do and where before it does it, does nothing that is already
//! done, and keeps what it fetches inside the repository (`.nereid/`, `target/`). The one exception, Debian packages
//! that need root, is announced with the exact command. Costs: one small crate besides itself, so it compiles in seconds.

mod arguments;
mod backend;
mod checks;
mod clients;
mod demo;
mod fuzz;
mod gpu;
mod guests;
mod mutants;
mod server;
mod setup;
mod tally;
mod workspace;

use std::process::ExitCode;

use nereid_toolchains::{command, failure};

use crate::{arguments::Arguments, failure::Failure, workspace::Workspace};

/// One command: its name, what follows it, what it is for, and the function behind it.
struct Task {
    name: &'static str,
    usage: &'static str,
    purpose: &'static str,
    run: fn(&Workspace, Arguments) -> Result<(), Failure>,
}

/// Every command. A new one is a file and a line here.
const TASKS: [Task; 8] = [
    Task {
        name: "demo",
        usage: "[--once] [--dev] [--port-base N] [--server FILE]",
        purpose: "set up, build, serve model_repository and classify real images over HTTP and gRPC",
        run: demo::run,
    },
    Task {
        name: "test",
        usage: "[--only STEP]... [--list]",
        purpose: "everything that CI runs, with a summary at the end",
        run: checks::run,
    },
    Task {
        name: "setup",
        usage: "[onnxruntime|openvino|pytorch|guests|python|perf_analyzer|model_analyzer|redis|plugin-python|plugin-javascript|plugin-c|plugin-go|plugins|clients|all]...",
        purpose: "fetch what the host, the guests and the client tests need into .nereid/",
        run: setup::run,
    },
    Task {
        name: "backend",
        usage: "[fil|nvrtc|onnxruntime|onnxruntime-gpu|openvino|pytorch|tensorflow|tensorrt]...",
        purpose: "fetch the native library of a backend into .nereid/, where the server finds it",
        run: backend::run,
    },
    Task {
        name: "guests",
        usage: "",
        purpose: "build every plugin and test guest to a component and install it where models need it",
        run: guests::run,
    },
    Task {
        name: "clients",
        usage: "[--server FILE] [PYTEST ARGUMENTS]...",
        purpose: "run the end-to-end suites (tests/clients, tests/conformance) against the dev server",
        run: clients::run,
    },
    Task {
        name: "fuzz",
        usage: "[TARGET]... [--seconds N] [--input FILE]",
        purpose: "throw mutated requests and configurations at what parses them (tests/fuzz), 60 s each",
        run: fuzz::run,
    },
    Task {
        name: "mutants",
        usage: "[PART OF A NAME]... [--seeds N] [--list]",
        purpose: "plant faults in a copy of the policies and see that their simulations find each",
        run: mutants::run,
    },
];

fn main() -> ExitCode {
    if fuzz::instrument::is_wanted() {
        eprintln!("error: {}", fuzz::instrument::become_compiler());
        return ExitCode::FAILURE;
    }
    let mut words = std::env::args().skip(1);
    let name = words.next().unwrap_or_else(|| "help".to_owned());
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        print_help();
        return ExitCode::SUCCESS;
    }
    match run(&name, Arguments::new(words)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nerror: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, arguments: Arguments) -> Result<(), Failure> {
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        let names: Vec<_> = TASKS.iter().map(|task| task.name).collect();
        return Err(Failure::new(format!("unknown command '{name}', expected one of {}", names.join(", "))));
    };
    (task.run)(&Workspace::find()?, arguments)
}

fn print_help() {
    println!("cargo xtask COMMAND\n");
    for task in &TASKS {
        println!("  {} {}\n      {}", task.name, task.usage, task.purpose);
    }
}
