//! Where compilers are looked for, and where they are fetched to.

use std::{
    env,
    path::{Path, PathBuf},
};

use nereid_toolchains::{Home, Toolchain, command};

use crate::{WorkshopError, language::Language};

/// The folder that `cargo xtask setup` fills, in a checkout.
const CHECKOUT_HOME: &str = ".nereid";

/// `.nereid` of the folder that one works in and of those above it, then the user's own folder.
#[derive(Clone, Debug)]
pub struct Homes(Vec<Home>);

// === impl Homes ===

impl Homes {
    /// As seen from the working directory. `data_directory` is where the user's programs keep what they fetch.
    pub fn find(data_directory: Option<PathBuf>) -> Self {
        let here = env::current_dir().unwrap_or_default();
        let checkouts = here.ancestors().map(|folder| folder.join(CHECKOUT_HOME)).filter(|folder| folder.is_dir());
        Self(checkouts.chain(data_directory).map(Home::new).collect())
    }

    /// One that the language's compiler works from.
    ///
    /// # Errors
    /// There is none; the text says what fetches it.
    pub(crate) fn of(&self, language: Language) -> Result<&Home, WorkshopError> {
        let toolchain = language.toolchain();
        if language == Language::Rust && !command::succeeds(command::cargo(Path::new(".")).arg("--version")) {
            return Err(WorkshopError::NoRust);
        }
        let found = self.0.iter().find(|home| (toolchain.find)(home).is_some());
        found.ok_or_else(|| WorkshopError::NoToolchain {
            language: toolchain.language,
            purpose: toolchain.purpose,
            searched: self.searched(),
        })
    }

    /// Fetches a compiler into the first of them.
    ///
    /// # Errors
    /// There is nowhere to fetch it to, or it cannot be fetched.
    pub fn set_up(&self, language: Language) -> Result<(), WorkshopError> {
        let toolchain: Toolchain = language.toolchain();
        let there = self.0.iter().find(|home| (toolchain.find)(home).is_some());
        let home = there.or(self.0.first()).ok_or(WorkshopError::NoHome)?;
        command::announce(format_args!("what is fetched goes to {}", home.folder().display()));
        Ok(toolchain.ensure(home)?)
    }

    fn searched(&self) -> String {
        let folders: Vec<String> = self.0.iter().map(|home| home.folder().display().to_string()).collect();
        if folders.is_empty() { "nowhere: there is no home directory".to_owned() } else { folders.join(", ") }
    }
}
