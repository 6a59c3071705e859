//! `--server-config`, `nereid.toml` by custom: what the operator lets plugins and tenants have.
//!
//! ```toml
//! [plugins.limits]                     # no plugin gets more, whatever its plugin.toml asks for
//! memory_mib = 512
//!
//! [plugins.grants]                     # no plugin is granted more
//! models = ["*"]
//! http = ["api.example.com"]           # servers that they call
//! secrets = ["weather_key"]
//! files = [{ path = "/srv/lookups", write = false }]
//!
//! [secrets.weather_key]                # where a secret is kept
//! file = "/run/secrets/weather"
//!
//! [tenants.acme]                       # who has API keys with tenant = "acme"
//! models = ["acme_*"]                  # models that are theirs
//!
//! [tenants.acme.quota]                 # of their clients
//! requests_per_second = 50
//! burst = 100
//! concurrent_requests = 8
//!
//! [tenants.acme.limits]                # of their plugins, besides
//! [tenants.acme.grants]
//! ```
//!
//! An unknown key is an error with line, column and caret. Without the file everything has its default. A server follows the file
//! (`operator_rules.rs`).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use nereid_backend_wasm::{AllowedFolder, Ceiling, LimitsTable, PluginPolicy, SecretSource, TenantPlugins, read_text};
use nereid_plugin::{HttpRule, HttpTls, NamePatterns, PluginLimits};
use nereid_tenants::{Quota, TENANTS_MAX};
use serde::Deserialize;

use crate::error::ServerError;

/// Largest file; a thousand tenants fit.
pub(crate) const OPERATOR_FILE_BYTES_MAX: u64 = 1 << 20;

/// What the file says.
#[derive(Debug, Default)]
pub(crate) struct OperatorFile {
    pub(crate) plugins: PluginPolicy,
    /// Of every tenant that it lists.
    pub(crate) quotas: BTreeMap<Arc<str>, Quota>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Content {
    plugins: PluginsTable,
    secrets: BTreeMap<String, SecretTable>,
    tenants: BTreeMap<String, TenantTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PluginsTable {
    /// Certificates that requests of plugins trust besides the machine's.
    http_ca_file: Option<PathBuf>,
    limits: LimitsTable,
    grants: GrantsTable,
}

/// What is not written has the default of all plugins, or, for a tenant, that of its own.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GrantsTable {
    models: Option<Vec<String>>,
    model_control: Option<Vec<String>>,
    files: Option<Vec<FolderTable>>,
    environment: Option<Vec<String>>,
    secrets: Option<Vec<String>>,
    http: Option<Vec<String>>,
    http_private: Option<Vec<String>>,
    clocks: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FolderTable {
    path: PathBuf,
    #[serde(default)]
    write: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretTable {
    file: Option<PathBuf>,
    environment: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TenantTable {
    models: Vec<String>,
    quota: QuotaTable,
    limits: LimitsTable,
    grants: GrantsTable,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct QuotaTable {
    requests_per_second: Option<f64>,
    burst: Option<u64>,
    concurrent_requests: Option<u64>,
}

// === impl OperatorFile ===

impl OperatorFile {
    /// The file, or the defaults without one.
    ///
    /// # Errors
    /// It cannot be read or says something wrong.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, ServerError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let failed = |problem| ServerError::OperatorFile { path: path.to_owned(), problem };
        let text = read_text(path, OPERATOR_FILE_BYTES_MAX);
        let text = text.map_err(|error| failed(format!("cannot be read: {error}")))?;
        Self::parse(&text).map_err(failed)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let content: Content = toml::from_str(text).map_err(|error| format!("is wrong: {error}"))?;
        let secrets = content.secrets.into_iter().map(|(name, secret)| Ok((name.clone(), secret.source(&name)?)));
        let secrets = secrets.collect::<Result<BTreeMap<_, _>, String>>()?;
        let ceiling = content.plugins.grants.over(content.plugins.limits, &Ceiling::default());
        let ceiling = ceiling.map_err(|problem| format!("is wrong at [plugins.grants]: {problem}"))?;
        let tls = content.plugins.http_ca_file.map(|path| HttpTls::with_file(&path)).transpose();
        let http_tls = tls.map_err(|problem| format!("is wrong at [plugins] http_ca_file: {problem}"))?;
        if content.tenants.len() > TENANTS_MAX {
            return Err(format!("has {} tenants, {TENANTS_MAX} are the most", content.tenants.len()));
        }
        let quotas = content.tenants.iter().map(|(name, tenant)| Ok((name.as_str().into(), tenant.quota(name)?)));
        let quotas = quotas.collect::<Result<BTreeMap<_, _>, String>>()?;
        let tenants = content.tenants.into_iter().map(|(name, tenant)| tenant.plugins(&name, &ceiling));
        let tenants = tenants.collect::<Result<Vec<_>, String>>()?;
        let plugins = PluginPolicy { tenants, secrets, ceiling, http_tls: Arc::new(http_tls.unwrap_or_default()) };
        check_secrets(&plugins)?;
        Ok(Self { plugins, quotas })
    }
}

/// A secret that is granted and kept nowhere is a slip of the pen.
fn check_secrets(plugins: &PluginPolicy) -> Result<(), String> {
    let ceilings = std::iter::once(&plugins.ceiling).chain(plugins.tenants.iter().map(|tenant| &tenant.ceiling));
    match ceilings.flat_map(|ceiling| &ceiling.secrets).find(|name| !plugins.secrets.contains_key(*name)) {
        None => Ok(()),
        Some(name) => Err(format!("grants the secret '{name}', and there is no [secrets.{name}]")),
    }
}

// === impl GrantsTable ===

impl GrantsTable {
    fn over(self, limits: LimitsTable, defaults: &Ceiling) -> Result<Ceiling, String> {
        let http = match (&self.http, &self.http_private) {
            (None, None) => defaults.http.clone(),
            (open, private) => http_rules(open.as_deref(), private.as_deref())?,
        };
        let patterns = |written: Option<Vec<String>>, default: &NamePatterns| match written {
            Some(names) => names.into_iter().collect(),
            None => default.clone(),
        };
        let folders = |folders: Vec<FolderTable>| {
            let folder = |folder: FolderTable| AllowedFolder { path: folder.path, write: folder.write };
            folders.into_iter().map(folder).collect()
        };
        Ok(Ceiling {
            limits: limits.over(&defaults.limits).within(&PluginLimits::CEILING),
            models: patterns(self.models, &defaults.models),
            model_control: patterns(self.model_control, &defaults.model_control),
            folders: self.files.map_or_else(|| defaults.folders.clone(), folders),
            environment: self.environment.unwrap_or_else(|| defaults.environment.clone()),
            secrets: self.secrets.unwrap_or_else(|| defaults.secrets.clone()),
            http,
            clocks: self.clocks.unwrap_or(defaults.clocks),
        })
    }
}

fn http_rules(open: Option<&[String]>, private: Option<&[String]>) -> Result<Vec<HttpRule>, String> {
    let open = open.unwrap_or_default().iter().map(|text| HttpRule::parse(text, false));
    open.chain(private.unwrap_or_default().iter().map(|text| HttpRule::parse(text, true))).collect()
}

// === impl TenantTable ===

impl TenantTable {
    fn quota(&self, name: &str) -> Result<Quota, String> {
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err("is wrong at [tenants]: a tenant's name must be a word for metrics".to_owned());
        }
        let QuotaTable { requests_per_second, burst, concurrent_requests } = self.quota;
        let quota = Quota::new(requests_per_second, burst, concurrent_requests);
        quota.map_err(|problem| format!("is wrong at [tenants.{name}.quota]: {problem}"))
    }

    /// A tenant's plugins call and control the tenant's own models, unless the file says otherwise; the rest is as for all.
    fn plugins(self, name: &str, all: &Ceiling) -> Result<TenantPlugins, String> {
        let own: NamePatterns = self.models.into_iter().collect();
        let defaults = Ceiling { models: own.clone(), model_control: own.clone(), ..all.clone() };
        let ceiling = self.grants.over(self.limits, &defaults);
        let ceiling = ceiling.map_err(|problem| format!("is wrong at [tenants.{name}.grants]: {problem}"))?;
        Ok(TenantPlugins { tenant: name.into(), models: own, ceiling })
    }
}

// === impl SecretTable ===

impl SecretTable {
    fn source(self, name: &str) -> Result<SecretSource, String> {
        match (self.file, self.environment) {
            (Some(path), None) => Ok(SecretSource::File(path)),
            (None, Some(variable)) => Ok(SecretSource::Environment(variable)),
            _ => Err(format!("is wrong at [secrets.{name}]: give 'file' or 'environment', and one of them")),
        }
    }
}

#[cfg(test)]
mod tests;
