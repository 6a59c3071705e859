//! Where a backend's native library may be, and trying one place after the other.
//!
//! The order is the same for every backend: what the operator named, else the environment variable, else the folder that
//! `cargo xtask backend` fills, seen from the current directory and from the executable. Nothing is remembered here.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Where to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LibrarySearch {
    /// The library file, or the folder with it; nothing else is searched when it is given.
    pub library: Option<PathBuf>,
    /// Folders searched otherwise, in this order.
    pub folders: Vec<PathBuf>,
}

// === impl LibrarySearch ===

impl LibrarySearch {
    /// The folder `setup_folder` below the current directory, and below every folder above the executable that has it.
    pub fn discover(setup_folder: &str) -> Self {
        let mut folders: Vec<PathBuf> =
            env::current_dir().ok().iter().map(|folder| folder.join(setup_folder)).collect();
        let executable = env::current_exe().unwrap_or_default();
        let above = executable.ancestors().skip(1).map(|folder| folder.join(setup_folder));
        folders.extend(above.filter(|folder| folder.is_dir()));
        folders.dedup();
        Self { library: None, folders }
    }

    /// What `load` makes of the first file that it takes: `variable` is the environment variable that names one, and
    /// `file_name` the file in a folder.
    ///
    /// # Errors
    /// Every place, with what was wrong there.
    pub fn load<T>(
        &self,
        variable: &str,
        file_name: &str,
        mut load: impl FnMut(&Path) -> Result<T, String>,
    ) -> Result<T, String> {
        let mut tried = Vec::new();
        for path in self.files(env::var_os(variable), file_name) {
            let outcome = if path.is_file() { load(&path) } else { Err("no such file".to_owned()) };
            match outcome {
                Ok(loaded) => return Ok(loaded),
                Err(reason) => tried.push(format!("{} ({reason})", path.display())),
            }
        }
        Err(tried.join("; "))
    }

    /// Absolute, because the loader takes a bare name for a name to search.
    fn files(&self, variable: Option<OsString>, file_name: &str) -> Vec<PathBuf> {
        let from_variable = variable.filter(|path| !path.is_empty()).map(PathBuf::from);
        let places = self.library.clone().or(from_variable).map_or_else(|| self.folders.clone(), |path| vec![path]);
        let is_folder = |path: &Path| path.is_dir() || self.folders.iter().any(|folder| folder == path);
        let file = |path: PathBuf| if is_folder(&path) { path.join(file_name) } else { path };
        let files = places.into_iter().map(file);
        files.map(|path| std::path::absolute(&path).unwrap_or(path)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(library: Option<&str>) -> LibrarySearch {
        LibrarySearch { library: library.map(PathBuf::from), folders: vec!["/a".into(), "/b".into()] }
    }

    #[test]
    fn a_setting_wins_over_the_variable_and_that_over_the_folders() {
        let variable = || Some(OsString::from("/variable/lib.so"));
        assert_eq!(search(Some("/set/lib.so")).files(variable(), "lib.so"), [PathBuf::from("/set/lib.so")]);
        assert_eq!(search(None).files(variable(), "lib.so"), [PathBuf::from("/variable/lib.so")]);
        let folders = [PathBuf::from("/a/lib.so"), PathBuf::from("/b/lib.so")];
        assert_eq!(search(None).files(Some(OsString::new()), "lib.so"), folders);
    }

    #[test]
    fn every_place_is_named_with_what_was_wrong_there() {
        let here = std::env::current_exe().unwrap();
        let search = LibrarySearch { library: Some(here.clone()), folders: vec![] };
        let refused = search.load("NEREID_NO_SUCH_VARIABLE", "x", |_| Err::<(), _>("not ELF".to_owned()));
        assert_eq!(refused.unwrap_err(), format!("{} (not ELF)", here.display()));
        let missing = LibrarySearch { library: Some("/nowhere/x.so".into()), folders: vec![] };
        let refused = missing.load("NEREID_NO_SUCH_VARIABLE", "x.so", |_| Ok(()));
        assert_eq!(refused.unwrap_err(), "/nowhere/x.so (no such file)");
    }

    #[test]
    fn a_folder_stands_for_the_library_in_it() {
        let folder = std::env::temp_dir();
        let search = LibrarySearch { library: Some(folder.clone()), folders: vec![] };
        assert_eq!(search.files(None, "lib.so"), [folder.join("lib.so")]);
    }
}
