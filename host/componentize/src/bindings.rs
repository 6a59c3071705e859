//! The contract in another language's words, made anew for every build and never kept.

use std::{borrow::Cow, fs, path::Path};

use nereid_toolchains::{Failure, Sources, folders::create_folder};
use wit_bindgen_core::{Files, WorldGenerator};
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

/// The contract, and the world of it that a plugin exports.
pub(crate) struct Contract {
    resolve: Resolve,
    world: WorldId,
}

// === impl Contract ===

impl Contract {
    /// Reads it.
    ///
    /// # Errors
    /// The contract cannot be read, or has no such world.
    pub(crate) fn read(sources: &Sources<'_>) -> Result<Self, Failure> {
        let failed =
            |error| Failure::new(format!("no bindings of {} in {}: {error:#}", sources.world, sources.wit.display()));
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_path(sources.wit).map_err(failed)?;
        let world = resolve.select_world(&[package], Some(sources.world)).map_err(failed)?;
        Ok(Self { resolve, world })
    }

    /// Writes the bindings into `folder`, each file as `edited`.
    ///
    /// # Errors
    /// The generator fails, or a file cannot be written.
    pub(crate) fn write(
        &mut self,
        mut generator: Box<dyn WorldGenerator>,
        folder: &Path,
        edited: impl Fn(&[u8]) -> Cow<'_, [u8]>,
    ) -> Result<(), Failure> {
        let mut files = Files::default();
        let generated = generator.generate(&mut self.resolve, self.world, &mut files);
        generated.map_err(|error| Failure::new(format!("no bindings: {error:#}")))?;
        for (name, content) in files.iter() {
            let path = folder.join(name);
            if let Some(parent) = path.parent() {
                create_folder(parent)?;
            }
            fs::write(&path, edited(content)).map_err(Failure::io(format_args!("write {}", path.display())))?;
        }
        Ok(())
    }

    /// Puts into a module which world it is of, for compilers that bindings cannot make do it.
    ///
    /// # Errors
    /// It is no module.
    pub(crate) fn embed(&self, module: &mut Vec<u8>) -> Result<(), Failure> {
        embed_component_metadata(module, &self.resolve, self.world, StringEncoding::UTF8)
            .map_err(|error| Failure::new(format!("cannot be made a component: {error:#}")))
    }
}
