//! `files`: the folders that a plugin was granted, through handles that nothing outside of them can be reached by.
//!
//! Everything here waits for a disk, and is done on another thread on the guest's account of time.

use std::{
    io::{self, Read, Seek, SeekFrom},
    sync::Arc,
};

use cap_std::fs::Dir;
use nereid_inference::InferError;

use crate::{
    account::{Account, Charge},
    bindings::nereid::plugin::{
        files::{Entry, Host},
        types::Error,
    },
    convert,
    grants::FolderGrant,
    state::PluginState,
};

/// Entries of a folder that are told to a guest; a listing stays below some megabytes.
const ENTRIES_MAX: usize = 10_000;

/// A file or folder as the guest named it, and where it is.
struct Place {
    path: String,
    directory: Arc<Dir>,
    inside: String,
}

// === impl PluginState ===

impl PluginState {
    /// The whole of a granted file, for the import of that name.
    pub(super) async fn read_file(
        &mut self,
        import: &'static str,
        path: String,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let (place, account) = (self.place(path).map(|(place, _)| place), self.call.account.clone());
        let read = self.with_place(import, place, move |place| place.read(&account, 0, u64::MAX)).await?;
        Ok(read.map(|(bytes, _charge)| bytes))
    }

    fn place(&self, path: String) -> Result<(Place, bool), InferError> {
        let Some((folder, inside)) = self.spec.grants.folder_of(&path) else {
            let granted: Vec<&str> = self.spec.grants.folders.iter().map(|folder| folder.guest_path.as_str()).collect();
            let granted =
                if granted.is_empty() { "none is".to_owned() } else { format!("granted: {}", granted.join(", ")) };
            let text =
                format!("'{path}' is in no folder that is granted under [[grants.files]] in plugin.toml ({granted})");
            return Err(InferError::permission(text));
        };
        let FolderGrant { directory, is_writable, .. } = folder;
        let place = Place { inside: inside.to_owned(), directory: directory.clone(), path };
        Ok((place, *is_writable))
    }

    fn writable_place(&self, path: String) -> Result<Place, InferError> {
        match self.place(path)? {
            (place, true) => Ok(place),
            (Place { path, .. }, false) => {
                let text =
                    format!("'{path}' is in a folder that is granted for reading only (write = true is missing)");
                Err(InferError::permission(text))
            }
        }
    }

    async fn with_place<R: Send + 'static>(
        &mut self,
        import: &'static str,
        place: Result<Place, InferError>,
        work: impl FnOnce(Place) -> Result<R, InferError> + Send + 'static,
    ) -> wasmtime::Result<Result<R, Error>> {
        self.enter(import)?;
        let done = match place {
            Ok(place) if self.may_block() => work(place),
            Ok(place) => self.compute_elsewhere(move || work(place)).await?,
            Err(error) => Err(error),
        };
        self.check_clocks()?;
        Ok(done.inspect_err(|error| self.note_refusal(error)).map_err(convert::error))
    }
}

impl Host for PluginState {
    async fn read(&mut self, path: String) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        self.read_file("files.read", path).await
    }

    async fn read_range(&mut self, path: String, offset: u32, length: u32) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let (place, account) = (self.place(path).map(|(place, _)| place), self.call.account.clone());
        let read = self
            .with_place("files.read-range", place, move |place| place.read(&account, offset.into(), length.into()))
            .await?;
        Ok(read.map(|(bytes, _charge)| bytes))
    }

    async fn write(&mut self, path: String, data: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        let place = self.writable_place(path);
        self.with_place("files.write", place, move |place| {
            place.directory.write(&place.inside, data).map_err(|error| place.failed("written", &error))
        })
        .await
    }

    async fn remove(&mut self, path: String) -> wasmtime::Result<Result<(), Error>> {
        let place = self.writable_place(path);
        self.with_place("files.remove", place, |place| {
            place.directory.remove_file(&place.inside).map_err(|error| place.failed("removed", &error))
        })
        .await
    }

    async fn list_folder(&mut self, path: String) -> wasmtime::Result<Result<Vec<Entry>, Error>> {
        let place = self.place(path).map(|(place, _)| place);
        self.with_place("files.list-folder", place, |place| place.list()).await
    }
}

// === impl Place ===

impl Place {
    /// The bytes, and what they cost until the guest has them.
    fn read(&self, account: &Arc<Account>, offset: u64, length: u64) -> Result<(Vec<u8>, Arc<Charge>), InferError> {
        let failed = |error: io::Error| self.failed("read", &error);
        let mut file = self.directory.open(&self.inside).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(InferError::invalid_argument(format!("'{}' is no file that can be read", self.path)));
        }
        let wanted = metadata.len().saturating_sub(offset).min(length);
        let charge = account.charge(wanted)?;
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut bytes = Vec::new();
        // What was appended meanwhile is not paid for.
        file.take(wanted).read_to_end(&mut bytes).map_err(failed)?;
        Ok((bytes, charge))
    }

    fn list(&self) -> Result<Vec<Entry>, InferError> {
        let failed = |error: io::Error| self.failed("listed", &error);
        let mut entries = Vec::new();
        for entry in self.directory.read_dir(&self.inside).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entries.len() == ENTRIES_MAX {
                let text = format!("'{}' holds more than {ENTRIES_MAX} files, the most that are listed", self.path);
                return Err(InferError::resource_exhausted(text));
            }
            let metadata = entry.metadata().map_err(failed)?;
            let is_folder = metadata.is_dir();
            let size = if is_folder { 0 } else { metadata.len() };
            entries.push(Entry { name: entry.file_name().to_string_lossy().into_owned(), size, is_folder });
        }
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(entries)
    }

    fn failed(&self, what: &str, error: &io::Error) -> InferError {
        let text = format!("'{}' cannot be {what}: {error}", self.path);
        match error.kind() {
            io::ErrorKind::NotFound => InferError::not_found(text),
            io::ErrorKind::PermissionDenied => InferError::permission(text),
            _ => InferError::unavailable(text),
        }
    }
}
