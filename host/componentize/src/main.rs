//! The same as a program, for `cargo xtask guests`, which is built of nothing but the standard library.
//!
//! `nereid-componentize LANGUAGE HOME PLUGIN SDK WIT WORLD COMPONENT`

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use nereid_toolchains::{Failure, Home, Sources};

fn main() -> ExitCode {
    match run(&env::args().skip(1).collect::<Vec<String>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<(), Failure> {
    let [language, home, plugin, sdk, wit, world, component] = words else {
        return Err(Failure::new("expected LANGUAGE HOME PLUGIN SDK WIT WORLD COMPONENT"));
    };
    let sources = Sources { plugin: Path::new(plugin), sdk: Path::new(sdk), wit: Path::new(wit), world };
    let (home, component) = (Home::new(PathBuf::from(home)), Path::new(component));
    match language.as_str() {
        "c" => nereid_componentize::componentize_c(&home, &sources, component),
        "go" => nereid_componentize::componentize_go(&home, &sources, component),
        other => Err(Failure::new(format!("'{other}' is made elsewhere; expected 'c' or 'go'"))),
    }
}
