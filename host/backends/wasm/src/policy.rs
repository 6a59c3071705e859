//! What plugins get: what their owners ask for, as far as the operator allows it.
//!
//! Limits are cut to the ceiling, and the log says so. A grant that the operator does not allow fails the load, with
//! everything that is missing in one text, so that no plugin is surprised in the middle of a request. Only model names with
//! patterns are compared when a model is called.
//!
//! Without a word from the operator a plugin may be granted what is its own: files of its version's directory, variables whose
//! values it brings, a seed, running clocks, and calls of models.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use nereid_inference::{InferError, ModelSource};
use nereid_plugin::{Clocks, FolderGrant, Grants, ModelGrant, NamePatterns, PluginLimits, Secret};

use crate::plugin_file::{FolderEntry, GrantsTable, PluginFile};

/// Folders of one plugin; each is an open file per guest that uses WASI.
const FOLDERS_MAX: usize = 16;

/// Variables of one plugin, and bytes of each.
const VARIABLES_MAX: usize = 100;

/// Bytes of a secret: a certificate with its chain fits.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// What the operator allows.
#[derive(Clone, Debug, Default)]
pub struct PluginPolicy {
    /// Of every plugin.
    pub ceiling: Ceiling,
    /// Of the plugins of tenants, besides; the first tenant whose models include a plugin's has it.
    pub tenants: Vec<TenantPlugins>,
    /// Where secrets are kept, by name.
    pub secrets: BTreeMap<String, SecretSource>,
}

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
    pub clocks: bool,
}

/// A folder that plugins may be granted, or folders inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedFolder {
    pub path: PathBuf,
    pub write: bool,
}

/// Plugins that are a tenant's.
#[derive(Clone, Debug)]
pub struct TenantPlugins {
    pub tenant: Arc<str>,
    pub models: NamePatterns,
    pub ceiling: Ceiling,
}

/// Where a secret is read when a plugin that is granted it is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// The file's bytes, without line ends at their end.
    File(PathBuf),
    /// A variable of the server's environment.
    Environment(String),
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
            clocks: true,
        }
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
            folders: folder_grants(source, asked.files, ceilings, denied),
            environment: variables(asked.environment, asked.inherit_environment, ceilings, denied),
            secrets: self.secret_grants(asked.secrets, ceilings, denied),
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

    fn secret_grants(
        &self,
        asked: Vec<String>,
        ceilings: &[&Ceiling],
        denied: &mut Denied,
    ) -> BTreeMap<String, Secret> {
        let mut secrets = BTreeMap::new();
        for name in asked {
            let what = format!("secrets '{name}'");
            if !ceilings.iter().all(|ceiling| ceiling.secrets.contains(&name)) {
                denied.push(&what, "the operator does not allow it ([plugins.grants] secrets in nereid.toml)");
                continue;
            }
            match self.secrets.get(&name).map(SecretSource::read) {
                Some(Ok(secret)) => drop(secrets.insert(name, secret)),
                Some(Err(problem)) => denied.push(&what, &problem),
                None => denied.push(&what, &format!("there is no [secrets.{name}] in nereid.toml")),
            }
        }
        secrets
    }
}

// === impl SecretSource ===

impl SecretSource {
    fn read(&self) -> Result<Secret, String> {
        match self {
            Self::File(path) => {
                let failed = |error| format!("'{}' cannot be read: {error}", path.display());
                let length = fs::metadata(path).map_err(failed)?.len();
                if length > SECRET_BYTES_MAX {
                    return Err(format!("'{}' is larger than {SECRET_BYTES_MAX} bytes", path.display()));
                }
                let bytes = fs::read(path).map_err(failed)?;
                let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
                Ok(Secret::new(bytes.get(..end).unwrap_or_default()))
            }
            Self::Environment(name) => match env::var_os(name) {
                Some(value) => Ok(Secret::new(value.into_encoded_bytes())),
                None => Err(format!("the server's environment has no variable '{name}'")),
            },
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

fn folder_grants(
    source: &ModelSource,
    asked: Vec<FolderEntry>,
    ceilings: &[&Ceiling],
    denied: &mut Denied,
) -> Vec<FolderGrant> {
    if asked.len() > FOLDERS_MAX {
        denied.push("files", &format!("{} folders, {FOLDERS_MAX} are the most", asked.len()));
        return Vec::new();
    }
    let mut folders: Vec<FolderGrant> = Vec::new();
    for entry in asked {
        let what = format!("files '{}'", entry.path);
        let taken = folders.iter().any(|folder| folder.guest_path == entry.at);
        let granted = match taken {
            true => Err(format!("there are two folders at '{}'", entry.at)),
            false => folder_grant(source, entry, ceilings),
        };
        match granted {
            Ok(folder) => folders.push(folder),
            Err(problem) => denied.push(&what, &problem),
        }
    }
    folders
}

fn folder_grant(source: &ModelSource, entry: FolderEntry, ceilings: &[&Ceiling]) -> Result<FolderGrant, String> {
    if !is_guest_path(&entry.at) {
        return Err(format!("at = '{}' must be a path like '/lookup', without '.' and '..'", entry.at));
    }
    let path = source.version_directory.join(&entry.path);
    let failed = |error| format!("'{}' cannot be opened: {error}", path.display());
    // Links are followed here, so that what is compared is what is opened.
    let real = path.canonicalize().map_err(failed)?;
    if !real.is_dir() {
        return Err(format!("'{}' is no folder", path.display()));
    }
    let own = source.version_directory.canonicalize().is_ok_and(|own| real.starts_with(own));
    if own && entry.write {
        return Err("a model's own directory is for reading: keep what is written elsewhere".to_owned());
    }
    if !own && !ceilings.iter().all(|ceiling| ceiling.allows_folder(&real, entry.write)) {
        let how = if entry.write { "written" } else { "read" };
        return Err(format!(
            "it is outside the model's own version directory, and the operator does not let it be {how} \
             ([[plugins.grants.files]] in nereid.toml)"
        ));
    }
    FolderGrant::open(entry.at, real, entry.write).map_err(failed)
}

impl Ceiling {
    fn allows_folder(&self, real: &Path, write: bool) -> bool {
        self.folders.iter().any(|allowed| {
            let inside = allowed.path.canonicalize().is_ok_and(|allowed| real.starts_with(allowed));
            inside && (allowed.write || !write)
        })
    }
}

fn is_guest_path(path: &str) -> bool {
    let mut components = Path::new(path).components();
    let plain =
        components.next() == Some(Component::RootDir) && components.all(|part| matches!(part, Component::Normal(_)));
    plain && !path.contains('\0') && (path.len() == 1 || !path.ends_with('/'))
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
