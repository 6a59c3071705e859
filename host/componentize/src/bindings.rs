//! The contract in another language's words, made anew for every build and never kept.

use std::{fs, path::Path};

use nereid_toolchains::{Failure, Sources, folders::create_folder};
use wit_bindgen_core::{Files, WorldGenerator};
use wit_parser::Resolve;

/// Writes the bindings of the world that the plugin exports into `folder`.
///
/// # Errors
/// The contract cannot be read, has no such world, or a file cannot be written.
pub(crate) fn write(
    sources: &Sources<'_>,
    mut generator: Box<dyn WorldGenerator>,
    folder: &Path,
) -> Result<(), Failure> {
    let failed =
        |error| Failure::new(format!("no bindings of {} in {}: {error:#}", sources.world, sources.wit.display()));
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(sources.wit).map_err(failed)?;
    let world = resolve.select_world(&[package], Some(sources.world)).map_err(failed)?;
    let mut files = Files::default();
    generator.generate(&mut resolve, world, &mut files).map_err(failed)?;
    for (name, content) in files.iter() {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            create_folder(parent)?;
        }
        fs::write(&path, content).map_err(Failure::io(format_args!("write {}", path.display())))?;
    }
    Ok(())
}
