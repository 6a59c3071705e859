//! Lists the files of `sdk/` and `wit/`, which travel inside the program: an installed `nereid` begins plugins without a
//! checkout.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// What lies there and is made, not written.
const MADE: [&str; 5] = ["__pycache__", "node_modules", "target", "compiler", ".git"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../..").canonicalize()?;
    let mut files = Vec::new();
    for folder in ["sdk", "wit"] {
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();
    let mut list = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(&root)?;
        writeln!(list, "    ({:?}, include_str!({:?})),", name.display().to_string(), file.display().to_string())?;
    }
    list.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("kit.rs"), list)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match path.is_dir() {
            true if MADE.contains(&name) => {}
            true => collect(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}
