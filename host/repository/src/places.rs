//! Where models lie: the repositories, and how a directory in one of them becomes a model's identifier.
//!
//! Without namespacing a name belongs to one repository, and a model that lies in two is ambiguous. With it, the
//! repository's path is part of the identifier, and each of them is a model of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use nereid_inference::{InferError, NAMESPACE_SEPARATOR};

use crate::{RepositorySettings, layout, model_id::ModelId};

/// Every model with the directories that it was found in; more than one is ambiguous.
pub(crate) type Found = BTreeMap<ModelId, Vec<PathBuf>>;

/// The repositories as they were when an operation began.
pub(crate) struct Places {
    repositories: Vec<PathBuf>,
    has_namespaces: bool,
}

// === impl Places ===

impl Places {
    /// Looks which repositories there are.
    ///
    /// # Errors
    /// A path that is no directory, or that cannot be a namespace.
    pub(crate) fn open(settings: &RepositorySettings) -> Result<Self, InferError> {
        let repositories = layout::repositories(&settings.paths)?;
        let is_odd = |path: &&PathBuf| namespace(path).contains(NAMESPACE_SEPARATOR);
        if let Some(path) = repositories.iter().find(is_odd).filter(|_| settings.has_namespaces) {
            return Err(InferError::invalid_argument(format!(
                "the model repository '{}' cannot be a namespace: its path contains '{NAMESPACE_SEPARATOR}', which \
                 stands between a namespace and a name; move it, or leave out --model-namespacing",
                path.display()
            )));
        }
        Ok(Self { repositories, has_namespaces: settings.has_namespaces })
    }

    pub(crate) fn have_namespaces(&self) -> bool {
        self.has_namespaces
    }

    /// Every model in every repository.
    ///
    /// # Errors
    /// A repository cannot be listed.
    pub(crate) fn scan(&self) -> Result<Found, InferError> {
        let mut found = Found::new();
        for repository in &self.repositories {
            for name in layout::models(repository)? {
                let directory = repository.join(&name);
                found.entry(self.id(repository, &name)).or_default().push(directory);
            }
        }
        Ok(found)
    }

    /// The directories of one model; empty when there is none.
    pub(crate) fn find(&self, id: &ModelId) -> Vec<PathBuf> {
        let is_searched = |repository: &&PathBuf| match &id.namespace {
            Some(wanted) => self.has_namespaces && namespace(repository) == **wanted,
            None => !self.has_namespaces,
        };
        let searched = self.repositories.iter().filter(is_searched);
        searched.filter_map(|repository| layout::model_directory(repository, &id.name)).collect()
    }

    /// The models called `name`: with namespacing every one that has a directory, without it the one that could.
    pub(crate) fn called(&self, name: &str) -> BTreeSet<ModelId> {
        if !self.has_namespaces {
            return BTreeSet::from([ModelId::plain(name)]);
        }
        let has_it = |repository: &&PathBuf| layout::model_directory(repository, name).is_some();
        self.repositories.iter().filter(has_it).map(|repository| self.id(repository, name)).collect()
    }

    fn id(&self, repository: &Path, name: &str) -> ModelId {
        if self.has_namespaces { ModelId::within(&namespace(repository), name) } else { ModelId::plain(name) }
    }
}

/// As the operator wrote it.
fn namespace(repository: &Path) -> String {
    repository.display().to_string()
}
