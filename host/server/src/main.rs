//! The program `nereid`.

use std::{env, process::ExitCode};

/// Half the time of glibc's for the short-lived buffers that requests are made of.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    nereid_server::run(env::args_os())
}
