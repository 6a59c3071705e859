//! Where a model's batching strategy lies: where its configuration says, or in its version's folder, the model's, or the backend's, in
//! this order, as Triton looks for its libraries.
//!
//! Promises: a path of the configuration never leads out of the model's folder. Costs, for a model without one, a look into each folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use nereid_inference::{
    BatchStrategies, BatchStrategy, InferError, ModelSource,
    config::{ModelConfig, Scheduling},
};

/// The parameter of a configuration that names the file.
const PATH_PARAMETER: &str = "TRITON_BATCH_STRATEGY_PATH";

/// The file in a folder.
const FILE_NAME: &str = "batchstrategy.wasm";

/// What it is called where Triton's libraries lie, which cannot be loaded.
const LIBRARY_NAME: &str = "batchstrategy.so";

/// Who makes strategies of files, and where those lie that belong to backends.
#[derive(Clone)]
pub struct StrategySources {
    pub strategies: Arc<dyn BatchStrategies>,
    /// `FOLDER/BACKEND/batchstrategy.wasm` is that of the backend's models that have none of their own.
    pub folder: Option<PathBuf>,
}

/// The strategy of a model, where it has one and something to ask it.
///
/// # Errors
/// As of [`find`], or the file is no strategy that wants to serve this model.
pub(crate) fn load(
    sources: Option<&StrategySources>,
    source: &ModelSource,
    backend: &str,
) -> Result<Option<Arc<dyn BatchStrategy>>, InferError> {
    let Some(sources) = sources else { return Ok(None) };
    let Some(file) = find(source, sources.folder.as_deref(), backend)? else { return Ok(None) };
    let (model, shown) = (&source.identity, file.display());
    if !batches(&source.config) {
        tracing::warn!(
            "{model} has the batching strategy '{shown}', which nobody asks: there is no dynamic_batching, or max_batch_size is 0"
        );
        return Ok(None);
    }
    let strategy = sources.strategies.load(&file, source)?;
    tracing::info!("{model} has its batches formed by '{shown}'");
    Ok(Some(strategy))
}

/// The file of a model's strategy.
///
/// # Errors
/// The configuration names one that is not there or lies elsewhere, or for a model of sequences.
pub(crate) fn find(
    source: &ModelSource,
    backends: Option<&Path>,
    backend: &str,
) -> Result<Option<PathBuf>, InferError> {
    if let Some(path) = source.config.parameter(PATH_PARAMETER) {
        return named(source, path).map(Some);
    }
    if source.config.sequences().is_some() {
        return Ok(None);
    }
    let of_backend = backends.map(|folder| folder.join(backend));
    let folders = [Some(&source.version_directory), Some(&source.model_directory), of_backend.as_ref()];
    for folder in folders.into_iter().flatten() {
        let (file, library) = (folder.join(FILE_NAME), folder.join(LIBRARY_NAME));
        if file.is_file() {
            return Ok(Some(file));
        }
        if library.is_file() {
            tracing::warn!(
                "'{}' is not loaded: here a batching strategy is a component, {FILE_NAME}, built for the world batching-plugin",
                library.display()
            );
        }
    }
    Ok(None)
}

/// The file that the configuration names; relative to the model's folder.
fn named(source: &ModelSource, path: &str) -> Result<PathBuf, InferError> {
    let model = &source.identity.name;
    if source.config.sequences().is_some() {
        let text = "cannot be specified with sequence batcher; remove it, or use dynamic_batching";
        return Err(InferError::invalid_argument(format!("model '{model}': {PATH_PARAMETER} {text}")));
    }
    let found = |path: &Path| fs::canonicalize(path);
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            InferError::not_found(format!("model '{model}': Batching library path not found: {path}"))
        }
        _ => {
            InferError::invalid_argument(format!("model '{model}': {PATH_PARAMETER} '{path}' cannot be read: {error}"))
                .with_source(error)
        }
    };
    let folder = found(&source.model_directory).map_err(failed)?;
    let file = found(&folder.join(path)).map_err(failed)?;
    if !file.starts_with(&folder) {
        return Err(InferError::invalid_argument(format!(
            "model '{model}': Batching library path escapes model repository. {PATH_PARAMETER} is '{path}', expected a file in the \
             model's folder"
        )));
    }
    Ok(file)
}

/// Whether requests of the model ever share a batch.
fn batches(config: &ModelConfig) -> bool {
    config.has_batching() && matches!(config.scheduling, Some(Scheduling::Dynamic(_)))
}

#[cfg(test)]
mod tests {
    use nereid_inference::config::{DynamicBatching, SequenceBatching};

    use super::*;
    use crate::test_service::source;

    /// A model in a folder of its own, beside folders of backends.
    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            let place = Self(tempfile::tempdir().unwrap());
            for folder in ["m/1", "backends/identity"] {
                fs::create_dir_all(place.path(folder)).unwrap();
            }
            place
        }

        fn path(&self, inside: &str) -> PathBuf {
            self.0.path().join(inside)
        }

        fn put(&self, file: &str) {
            fs::write(self.path(file), "").unwrap();
        }

        fn model(&self, parameter: Option<&str>, scheduling: Scheduling) -> ModelSource {
            let parameters = parameter.map(|path| (PATH_PARAMETER.to_owned(), path.to_owned())).into_iter().collect();
            let config = ModelConfig {
                name: "m".to_owned(),
                max_batch_size: 8,
                parameters,
                scheduling: Some(scheduling),
                ..ModelConfig::default()
            };
            ModelSource { model_directory: self.path("m"), version_directory: self.path("m/1"), ..source(config) }
        }

        fn find(&self, parameter: Option<&str>) -> Result<Option<PathBuf>, String> {
            let source = self.model(parameter, Scheduling::Dynamic(DynamicBatching::default()));
            let found = find(&source, Some(&self.path("backends")), "identity");
            found.map_err(|error| error.message().to_owned())
        }
    }

    #[test]
    fn the_nearest_folder_wins() {
        let place = Place::new();
        assert_eq!(place.find(None), Ok(None));
        for folder in ["backends/identity", "m", "m/1"] {
            let file = format!("{folder}/{FILE_NAME}");
            place.put(&file);
            assert_eq!(place.find(None), Ok(Some(place.path(&file))));
        }
    }

    #[test]
    fn a_path_of_the_configuration_comes_first_and_stays_in_the_models_folder() {
        let place = Place::new();
        place.put("m/1/batchstrategy.wasm");
        place.put("m/mine.wasm");
        place.put("others.wasm");
        let mine = fs::canonicalize(place.path("m/mine.wasm")).unwrap();
        assert_eq!(place.find(Some("mine.wasm")), Ok(Some(mine.clone())));
        assert_eq!(place.find(Some(&mine.display().to_string())), Ok(Some(mine)));
        let escapes = place.find(Some("../others.wasm")).unwrap_err();
        assert!(escapes.contains("Batching library path escapes model repository."), "{escapes}");
        let missing = place.find(Some("none.wasm")).unwrap_err();
        assert_eq!(missing, "model 'm': Batching library path not found: none.wasm");
    }

    #[test]
    fn models_of_sequences_have_none() {
        let place = Place::new();
        place.put("m/1/batchstrategy.wasm");
        let of_sequences = |parameter| {
            let source = place.model(parameter, Scheduling::Sequence(SequenceBatching::default()));
            find(&source, None, "identity").map_err(|error| error.message().to_owned())
        };
        assert_eq!(of_sequences(None), Ok(None));
        let refused = of_sequences(Some("batchstrategy.wasm")).unwrap_err();
        assert!(refused.contains("TRITON_BATCH_STRATEGY_PATH cannot be specified with sequence batcher"), "{refused}");
    }
}
