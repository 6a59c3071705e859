//! A load of some files over those that a model is loaded from now: what is not sent stays what it is.
//!
//! Costs a copy of the whole model in memory and on disk, within the limits of files that are sent with a load: it is meant for
//! plugins, whose files are small.

use std::{collections::btree_map::Entry, fs};

use bytes::Bytes;
use nereid_inference::{InferError, LoadOverrides, ModelConfig};

use crate::{
    Repository, config_file,
    model_id::ModelId,
    places::Places,
    snapshot::{self, ModelFiles, Stamp},
    source::{Given, Source, parse_config},
};

// === impl Repository ===

impl Repository {
    /// What a client sent, over what is there.
    ///
    /// # Errors
    /// Nothing is there, it cannot be read, or it is too large.
    pub(crate) fn overlaid(&self, name: &str, mut sent: LoadOverrides) -> Result<Given, InferError> {
        let id = ModelId::plain(name);
        let base = self.base(&id)?;
        let config = match &sent.config {
            Some(config) => parse_config(config, name, &self.settings.limits)?,
            None => written_config(&base, name)?,
        };
        let files = snapshot::model_files(std::slice::from_ref(&base.directory));
        self.check_size(name, &files)?;
        for path in files.into_iter().filter(|(_, stamp)| matches!(stamp, Stamp::File { .. })).map(|(path, _)| path) {
            let Ok(relative) = path.strip_prefix(&base.directory) else { continue };
            let relative = relative.display().to_string();
            if let Entry::Vacant(unsent) = sent.files.entry(relative) {
                let content = fs::read(&path).map_err(|error| unreadable(name, &path.display().to_string(), &error))?;
                unsent.insert(Bytes::from(content));
            }
        }
        Given::of_files(config, &sent.files, &self.override_use, &self.settings.limits)
    }

    /// What the model is loaded from now, or would be.
    fn base(&self, id: &ModelId) -> Result<Source, InferError> {
        if let Some(standing) = self.book.lock().standing(id) {
            return Ok((*standing.source).clone());
        }
        match Places::open(&self.settings)?.find(id).as_slice() {
            [directory] => Ok(Source::look(directory.clone(), self.settings.config_name.as_deref(), None)),
            _ => Err(InferError::invalid_argument(format!(
                "there is nothing of model '{id}' to lay files over: it is not loaded, and lies in no repository or in \
                 several; send all of its files and its configuration"
            ))),
        }
    }

    /// Before anything is read.
    fn check_size(&self, name: &str, files: &ModelFiles) -> Result<(), InferError> {
        let bytes_of = |stamp: &Stamp| match stamp {
            Stamp::File { bytes, .. } => *bytes,
            Stamp::Directory | Stamp::Unreadable => 0,
        };
        let (bytes, bytes_max) = (files.values().map(bytes_of).sum::<u64>(), self.settings.limits.override_bytes_max);
        if bytes > bytes_max as u64 {
            return Err(InferError::resource_exhausted(format!(
                "model '{name}' has files of {bytes} bytes, expected at most {bytes_max} to lay others over (load-bytes)"
            )));
        }
        Ok(())
    }
}

fn written_config(base: &Source, name: &str) -> Result<ModelConfig, InferError> {
    match &base.given {
        Some(given) => Ok(given.config.clone()),
        None => Ok(config_file::read(&base.config_path, name)?.unwrap_or_default()),
    }
}

fn unreadable(name: &str, path: &str, error: &std::io::Error) -> InferError {
    InferError::internal(format!("'{path}' of model '{name}' cannot be read, to lay files over it: {error}"))
}
