//! The atomic route from a name to the generations that answer for it.
//!
//! A route is never changed: a new one takes its place. Reading costs one atomic load and one hash lookup, with
//! namespacing too: the route then has an entry for every model with its namespace, and one for every bare name.

use std::{collections::HashMap, sync::Arc};

use nereid_inference::{InferError, ServedModel};

/// Every model that was ever loaded, by name.
pub(crate) struct Route {
    names: HashMap<Arc<str>, Destination>,
    /// Upstream has another code for unknown names then.
    has_namespaces: bool,
}

/// The versions of one model.
pub(crate) struct ModelRoute {
    /// The model as texts show it.
    pub(crate) title: Arc<str>,
    /// Ascending by version.
    pub(crate) ready: Vec<(u64, Arc<dyn ServedModel>)>,
    /// Known, and not ready.
    pub(crate) others: Vec<u64>,
}

/// Where a name leads.
enum Destination {
    /// A title.
    Model(ModelRoute),
    /// A name without its namespace; the model has another entry under its title.
    Bare(ModelRoute),
    /// Several models have the name.
    Ambiguous {
        count: usize,
        /// The one among them whose title it is.
        titled: Option<ModelRoute>,
    },
}

// === impl Route: making one ===

impl Route {
    /// A route to nothing.
    pub(crate) fn new(has_namespaces: bool) -> Self {
        Self { names: HashMap::new(), has_namespaces }
    }

    /// Leads to a model by its title.
    pub(crate) fn add(&mut self, model: ModelRoute) {
        self.enter(model.title.clone(), Destination::Model(model));
    }

    /// Leads to a model by its name without the namespace.
    pub(crate) fn add_bare_name(&mut self, name: Arc<str>, model: ModelRoute) {
        self.enter(name, Destination::Bare(model));
    }

    fn enter(&mut self, name: Arc<str>, destination: Destination) {
        let destination = match self.names.remove(&name) {
            None => destination,
            Some(earlier) => earlier.joined_by(destination),
        };
        self.names.insert(name, destination);
    }
}

// === impl Route: looking up ===

impl Route {
    /// The ready version asked for, or the highest ready one; the texts are those of Triton's lookup.
    pub(crate) fn model(&self, name: &str, version: Option<u64>) -> Result<Arc<dyn ServedModel>, InferError> {
        let model = match self.names.get(name) {
            Some(Destination::Model(model) | Destination::Bare(model)) => model,
            Some(Destination::Ambiguous { count, .. }) => return Err(ambiguous(name, *count)),
            None => return Err(self.unknown(name)),
        };
        let title = &model.title;
        let Some(version) = version else {
            return model.ready.last().map(|(_, served)| served.clone()).ok_or_else(|| {
                InferError::not_found(format!("Request for unknown model: '{title}' has no available versions"))
            });
        };
        match model.ready.iter().find(|(ready, _)| *ready == version) {
            Some((_, served)) => Ok(served.clone()),
            None if model.others.contains(&version) => Err(InferError::unavailable(format!(
                "Request for unknown model: '{title}' version {version} is not at ready state"
            ))),
            None => Err(InferError::not_found(format!(
                "Request for unknown model: '{title}' version {version} is not found"
            ))),
        }
    }

    /// Every ready version, of one model or of all, ordered by name and version.
    pub(crate) fn ready_models(&self, name: Option<&str>) -> Vec<Arc<dyn ServedModel>> {
        let mut models: Vec<&ModelRoute> = match name {
            Some(name) => self.names.get(name).and_then(Destination::model).into_iter().collect(),
            None => self.names.values().filter_map(Destination::titled).collect(),
        };
        let order = |model: &ModelRoute| {
            let name = model.ready.first().map(|(_, served)| served.identity().name.clone());
            (name, model.title.clone())
        };
        models.sort_by_cached_key(|model| order(model));
        models.into_iter().flat_map(|model| model.ready.iter().map(|(_, served)| served.clone())).collect()
    }

    fn unknown(&self, name: &str) -> InferError {
        let text = format!("Request for unknown model: '{name}' is not found");
        if self.has_namespaces { InferError::invalid_argument(text) } else { InferError::not_found(text) }
    }
}

// === impl Destination ===

impl Destination {
    /// The one model that the name leads to.
    fn model(&self) -> Option<&ModelRoute> {
        match self {
            Self::Model(model) | Self::Bare(model) => Some(model),
            Self::Ambiguous { .. } => None,
        }
    }

    /// The model whose title the name is: every model is that of one name.
    fn titled(&self) -> Option<&ModelRoute> {
        match self {
            Self::Model(model) => Some(model),
            Self::Bare(_) => None,
            Self::Ambiguous { titled, .. } => titled.as_ref(),
        }
    }

    fn joined_by(self, other: Self) -> Self {
        let count = |destination: &Self| match destination {
            Self::Model(_) | Self::Bare(_) => 1,
            Self::Ambiguous { count, .. } => *count,
        };
        let count = count(&self) + count(&other);
        Self::Ambiguous { count, titled: self.into_titled().or(other.into_titled()) }
    }

    fn into_titled(self) -> Option<ModelRoute> {
        match self {
            Self::Model(model) => Some(model),
            Self::Bare(_) => None,
            Self::Ambiguous { titled, .. } => titled,
        }
    }
}

/// In upstream's words.
fn ambiguous(name: &str, count: usize) -> InferError {
    InferError::invalid_argument(format!(
        "There are {count} identifiers of model '{name}' in global map, model namespace must be provided to resolve \
         ambiguity."
    ))
}
