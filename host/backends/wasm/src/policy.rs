//! What plugins get: what their owners ask for, as far as the operator allows it.
//!
//! Limits are cut to the ceiling, and the log says so. A grant that the operator does not allow fails the load, with
//! everything that is missing in one text, so that no plugin is surprised in the middle of a request. Only model names with
//! patterns are compared when a model is called.
//!
//! Without a word from the operator a plugin may be granted what is its own: files of its version's directory, variables whose
//! values it brings, a seed, running clocks, and calls of models.

mod folders;
mod http;
mod secrets;

use std::{collections::BTreeMap, env, sync::Arc};

use nereid_inference::{InferError, ModelSource};
use nereid_plugin::{Clocks, Grants, HttpRule, HttpTls, ModelGrant, NamePatterns, PluginLimits};
use parking_lot::Mutex;

pub use self::{folders::AllowedFolder, secrets::SecretSource};
use crate::plugin_file::{GrantsTable, PluginFile};

/// Variables of one plugin, and bytes of each.
const VARIABLES_MAX: usize = 100;

/// What the operator allows.
#[derive(Clone, Debug, Default)]
pub struct PluginPolicy {
    /// Of every plugin.
    pub ceiling: Ceiling,
    /// Of the plugins of tenants, besides; the first tenant whose models include a plugin's has it.
    pub tenants: Vec<TenantPlugins>,
    /// Where secrets are kept, by name.
    pub secrets: BTreeMap<String, SecretSource>,
    /// How servers that plugins call are recognised.
    pub http_tls: Arc<HttpTls>,
}

/// What the operator allows now. A clone is the same.
#[derive(Clone, Debug, Default)]
pub struct SharedPolicy(Arc<Mutex<Arc<PluginPolicy>>>);

/// What a plugin may have at most.
#[derive(Clone, Debug)]
pub struct Ceiling {
    pub limits: PluginLimits,
    pub models: NamePatterns,
    pub model_control: NamePatterns,
    /// Folders outside the model's own directory, with all that is in them.
    pub folders: Vec<AllowedFolder>,
    /// Variables of the server's own.
    pub environment: Vec<String>,
    pub secrets: Vec<String>,
    /// Servers.
    pub http: Vec<HttpRule>,
    pub clocks: bool,
}

/// Plugins that are a tenant's.
#[derive(Clone, Debug)]
pub struct TenantPlugins {
    pub tenant: Arc<str>,
    pub models: NamePatterns,
    pub ceiling: Ceiling,
}

/// What is denied, line by line.
#[derive(Default)]
struct Denied(Vec<String>);

// === impl Ceiling ===

impl Default for Ceiling {
    fn default() -> Self {
        Self {
            limits: PluginLimits::CEILING,
            models: NamePatterns::all(),
            model_control: NamePatterns::default(),
            folders: Vec::new(),
            environment: Vec::new(),
            secrets: Vec::new(),
            http: Vec::new(),
            clocks: true,
        }
    }
}

// === impl SharedPolicy ===

impl SharedPolicy {
    /// What is allowed to whoever is loaded now.
    pub fn get(&self) -> Arc<PluginPolicy> {
        self.0.lock().clone()
    }

    /// From the next load on, this is allowed; plugins that are loaded keep what they were granted.
    pub fn set(&self, policy: PluginPolicy) {
        *self.0.lock() = Arc::new(policy);
    }
}

impl From<PluginPolicy> for SharedPolicy {
    fn from(policy: PluginPolicy) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(policy))))
    }
}

// === impl PluginPolicy ===

impl PluginPolicy {
    /// What this version of a plugin gets. `defaults` are the limits of a plugin that asks for nothing.
    ///
    /// # Errors
    /// It asks for a grant that the operator does not allow, or that means nothing here.
    pub(crate) fn settle(
        &self,
        source: &ModelSource,
        asked: PluginFile,
        defaults: &PluginLimits,
    ) -> Result<(PluginLimits, Grants), InferError> {
        let ceilings = self.ceilings(&source.identity.name);
        let limits = settle_limits(source, asked.limits.over(&within(defaults, &ceilings)), &ceilings);
        let mut denied = Denied::default();
        let grants = self.grants(source, asked.grants, &ceilings, &mut denied);
        denied.check(&source.identity.name)?;
        Ok((limits, grants))
    }

    fn ceilings(&self, model: &str) -> Vec<&Ceiling> {
        let tenant = self.tenants.iter().find(|tenant| tenant.models.contains(model));
        std::iter::once(&self.ceiling).chain(tenant.map(|tenant| &tenant.ceiling)).collect()
    }

    fn grants(&self, source: &ModelSource, asked: GrantsTable, ceilings: &[&Ceiling], denied: &mut Denied) -> Grants {
        Grants {
            models: model_grant("models", asked.models, ceilings, |ceiling| &ceiling.models, denied),
            model_control: model_grant(
                "model_control",
                asked.model_control,
                ceilings,
                |ceiling| &ceiling.model_control,
                denied,
            ),
            folders: folders::grants(source, asked.files, ceilings, denied),
            http: http::grant((asked.http, asked.http_private), ceilings, &self.http_tls, denied),
            environment: variables(asked.environment, asked.inherit_environment, ceilings, denied),
            secrets: secrets::grants(&self.secrets, asked.secrets, ceilings, denied),
            clocks: match asked.clocks {
                true if !ceilings.iter().all(|ceiling| ceiling.clocks) => {
                    denied.push("clocks = true", "the operator allows no clocks that run ([plugins.grants] clocks)");
                    Clocks::Still
                }
                true => Clocks::Running,
                false => Clocks::Still,
            },
            random_seed: asked.random_seed,
        }
    }
}

// === impl Denied ===

impl Denied {
    fn push(&mut self, what: &str, why: &str) {
        self.0.push(format!("  {what}: {why}"));
    }

    fn check(self, model: &str) -> Result<(), InferError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let lines = self.0.join("\n");
        Err(InferError::permission(format!(
            "plugin.toml of model '{model}' asks for what it cannot be granted:\n{lines}"
        )))
    }
}

fn within(limits: &PluginLimits, ceilings: &[&Ceiling]) -> PluginLimits {
    ceilings.iter().fold(limits.clone(), |limits, ceiling| limits.within(&ceiling.limits))
}

fn settle_limits(source: &ModelSource, asked: PluginLimits, ceilings: &[&Ceiling]) -> PluginLimits {
    let limits = within(&asked, ceilings);
    if limits != asked {
        let model = &source.identity.name;
        tracing::warn!("model '{model}': plugin.toml asks for more than the server allows; it gets {limits:?}");
    }
    limits
}

fn model_grant(
    key: &str,
    asked: Vec<String>,
    ceilings: &[&Ceiling],
    allowed: impl Fn(&Ceiling) -> &NamePatterns,
    denied: &mut Denied,
) -> ModelGrant {
    let allowed = ceilings.iter().map(|ceiling| allowed(ceiling).clone()).collect();
    let grant = ModelGrant { asked: asked.into_iter().collect(), allowed };
    for name in grant.asked.whole_names().filter(|name| !grant.is_allowed(name)) {
        let why = format!("the operator does not allow it ([plugins.grants] {key} in nereid.toml)");
        denied.push(&format!("{key} '{name}'"), &why);
    }
    if !grant.asked.is_empty()
        && grant.allowed.iter().any(NamePatterns::is_empty)
        && grant.asked.whole_names().next().is_none()
    {
        denied.push(key, &format!("the operator allows none ([plugins.grants] {key} in nereid.toml)"));
    }
    grant
}

fn variables(
    given: BTreeMap<String, String>,
    inherited: Vec<String>,
    ceilings: &[&Ceiling],
    denied: &mut Denied,
) -> BTreeMap<String, String> {
    let mut variables = given;
    for name in inherited {
        let what = format!("inherit_environment '{name}'");
        if !ceilings.iter().all(|ceiling| ceiling.environment.contains(&name)) {
            denied.push(&what, "the operator does not allow it ([plugins.grants] environment in nereid.toml)");
        } else if let Ok(value) = env::var(&name) {
            variables.insert(name, value);
        } else {
            denied.push(&what, "the server's environment has no such variable, or it is not text");
        }
    }
    if variables.len() > VARIABLES_MAX {
        denied.push("environment", &format!("{} variables, {VARIABLES_MAX} are the most", variables.len()));
    }
    let bad = variables.keys().find(|name| name.is_empty() || name.contains(['=', '\0']));
    if let Some(bad) = bad {
        denied.push("environment", &format!("'{bad}' cannot be the name of a variable"));
    }
    variables
}

#[cfg(test)]
mod tests;
