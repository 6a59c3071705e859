//! Plugins in C: every `.c` file of the plugin, the SDK's and the bindings', compiled as one program.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nereid_toolchains::{Failure, Home, Sources, c, folders::list_folder};
use wit_bindgen_c::Opts;

use crate::{bindings::Contract, component};

/// The bindings' name in every world, so that one SDK fits all.
const BINDINGS: &str = "nereid_bindings";

/// Makes a component of the plugin in C.
///
/// # Errors
/// There are no sources, or the compiler refuses them (and has said why).
pub fn componentize(home: &Home, sources: &Sources<'_>, component: &Path) -> Result<(), Failure> {
    let scratch = home.scratch(&format!("c-{}", std::process::id()))?;
    let built = build(home, sources, &scratch, component);
    let removed = fs::remove_dir_all(&scratch).map_err(Failure::io(format_args!("remove {}", scratch.display())));
    built.and(removed)
}

fn build(home: &Home, sources: &Sources<'_>, scratch: &Path, component: &Path) -> Result<(), Failure> {
    let options = Opts { rename_world: Some(BINDINGS.to_owned()), ..Opts::default() };
    Contract::read(sources)?.write(options.build(), scratch, |text| text.into())?;
    let mut files = sources_in(sources.plugin)?;
    if files.is_empty() {
        return Err(Failure::new(format!("{} has no .c file", sources.plugin.display())));
    }
    files.extend(sources_in(sources.sdk)?);
    files.extend([scratch.join(format!("{BINDINGS}.c")), scratch.join(format!("{BINDINGS}_component_type.o"))]);
    let module = scratch.join("plugin.wasm");
    let world = sources.world.replace('-', "_").to_uppercase();
    let includes = [sources.plugin, sources.sdk, scratch];
    c::compile(
        home,
        &c::Compilation { files: &files, includes: &includes, define: &format!("NEREID_{world}") },
        &module,
    )?;
    component::write(&component::read(&module)?, &module, component)
}

fn sources_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let is_source = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "c");
    Ok(list_folder(folder)?.into_iter().filter(is_source).collect())
}
