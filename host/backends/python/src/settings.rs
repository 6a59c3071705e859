//! What the operator says of Python models with `--backend-config=python,KEY=VALUE`, and what a model says with its parameters.
//!
//! A parameter that begins with `python_` and is none of these is told in the log; those of tritonserver's that mean nothing
//! here are taken and told.

use std::path::PathBuf;

use nereid_inference::{InferError, ModelConfig, config::InstanceKind};

const MIB: u64 = 1024 * 1024;

/// The keys of the command line, for the message that refuses any other.
pub const SETTINGS: &str = "python knows 'python-executable' (also 'library'), 'confinement', 'network', 'processes', \
     'read-paths', 'write-paths', 'environment', 'address-space-mib', 'file-size-mib' and 'open-files'";

/// Those of tritonserver's Python backend that mean nothing here: there is no shared memory region to size, and no stub.
const WITHOUT_MEANING: [&str; 6] = [
    "shm-default-byte-size",
    "shm-growth-byte-size",
    "shm-region-prefix-name",
    "shm_message_queue_size",
    "thread-pool-size",
    "stub-timeout-seconds",
];

/// What every model gets unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonSettings {
    /// The interpreter: a path, or a name that is looked for in `PATH`.
    pub executable: PathBuf,
    /// Where Python-based backends are, a folder each.
    pub backend_directory: PathBuf,
    pub confinement: Confinement,
}

/// What a model's process may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// Without it a process may do all that the server may.
    pub is_on: bool,
    /// Sockets of its own.
    pub network: bool,
    /// Processes of its own.
    pub processes: bool,
    /// Folders and files that it may read, besides its model, its interpreter and what programs need of the system.
    pub read_paths: Vec<PathBuf>,
    /// Folders that it may write to, besides its own temporary one.
    pub write_paths: Vec<PathBuf>,
    /// Variables of the server's environment that it gets; `*` for all.
    pub environment: Vec<String>,
    /// Address space; numpy's and torch's libraries reserve more than they use. `None` is
    /// [`Confinement::ADDRESS_SPACE_BYTES`] on the CPU, and on a GPU no limit: CUDA reserves addresses for all memory there is.
    pub address_space_bytes: Option<u64>,
    /// Of any one file, memory files included.
    pub file_size_bytes: u64,
    pub open_files: u64,
}

// === impl PythonSettings ===

impl Default for PythonSettings {
    fn default() -> Self {
        Self {
            executable: "python3".into(),
            backend_directory: Self::BACKEND_DIRECTORY.into(),
            confinement: Confinement::default(),
        }
    }
}

impl PythonSettings {
    /// Where tritonserver's backends are.
    pub const BACKEND_DIRECTORY: &str = "/opt/tritonserver/backends";

    /// Takes a setting of the command line; `false` for one that is none.
    ///
    /// # Errors
    /// What the value should be.
    pub fn set(&mut self, key: &str, value: &str) -> Result<bool, String> {
        match key {
            "python-executable" | "library" => self.executable = value.into(),
            key if WITHOUT_MEANING.contains(&key) => {
                tracing::info!(
                    "--backend-config=python,{key} means nothing here: tensors travel in memory files of their own size"
                );
            }
            key => return self.confinement.set(&key.replace('-', "_"), value),
        }
        Ok(true)
    }
}

// === impl Confinement ===

impl Default for Confinement {
    fn default() -> Self {
        Self {
            is_on: true,
            network: false,
            processes: false,
            read_paths: Vec::new(),
            write_paths: Vec::new(),
            environment: Vec::new(),
            address_space_bytes: None,
            file_size_bytes: 1024 * MIB,
            open_files: 1024,
        }
    }
}

impl Confinement {
    /// More than a model on a CPU reserves, and an end to a leak before the machine's.
    pub const ADDRESS_SPACE_BYTES: u64 = 16 * 1024 * MIB;

    /// The address space of an instance of this kind.
    pub(crate) fn address_space_of(&self, kind: InstanceKind) -> u64 {
        let of_kind = if kind == InstanceKind::Gpu { u64::MAX } else { Self::ADDRESS_SPACE_BYTES };
        self.address_space_bytes.unwrap_or(of_kind)
    }
}

impl Confinement {
    /// What the model's parameters make of it.
    ///
    /// # Errors
    /// The parameter, and what its value should be.
    pub(crate) fn of_model(&self, config: &ModelConfig) -> Result<Self, InferError> {
        let mut confinement = self.clone();
        for (name, value) in &config.parameters {
            let Some(key) = name.strip_prefix("python_") else { continue };
            let known = confinement.set(key, value).map_err(|problem| {
                InferError::invalid_argument(format!(
                    "model '{}': parameter '{name}' is '{value}', {problem}",
                    config.name
                ))
            })?;
            if !known {
                tracing::warn!("model '{}': parameter '{name}' means nothing to the server", config.name);
            }
        }
        Ok(confinement)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<bool, String> {
        match key {
            "confinement" => self.is_on = one_of(value, ["off", "on"])?,
            "network" => self.network = one_of(value, ["deny", "allow"])?,
            "processes" => self.processes = one_of(value, ["deny", "allow"])?,
            "read_paths" => self.read_paths.extend(paths(value)?),
            "write_paths" => self.write_paths.extend(paths(value)?),
            "environment" => self.environment.extend(value.split(',').map(|name| name.trim().to_owned())),
            "address_space_mib" => self.address_space_bytes = Some(mebibytes(value)?),
            "file_size_mib" => self.file_size_bytes = mebibytes(value)?,
            "open_files" => self.open_files = number(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Whether the value is the second word.
fn one_of(value: &str, [no, yes]: [&str; 2]) -> Result<bool, String> {
    match value {
        value if value == yes => Ok(true),
        value if value == no => Ok(false),
        _ => Err(format!("expected '{no}' or '{yes}'")),
    }
}

fn paths(value: &str) -> Result<Vec<PathBuf>, String> {
    let listed: Vec<PathBuf> = value.split(':').filter(|path| !path.is_empty()).map(PathBuf::from).collect();
    match listed.iter().all(|path| path.is_absolute()) {
        true => Ok(listed),
        false => Err("expected absolute paths with ':' between them".to_owned()),
    }
}

fn number(value: &str) -> Result<u64, String> {
    value.parse().ok().filter(|number| *number > 0).ok_or_else(|| "expected a whole number from 1 up".to_owned())
}

fn mebibytes(value: &str) -> Result<u64, String> {
    Ok(number(value)?.saturating_mul(MIB))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_model(parameters: &[(&str, &str)]) -> Result<Confinement, String> {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let config = ModelConfig { name: "m".into(), parameters, ..ModelConfig::default() };
        Confinement::default().of_model(&config).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_model_loosens_what_it_names_and_nothing_else() {
        let loosened = of_model(&[
            ("python_network", "allow"),
            ("python_read_paths", "/data:/opt/x"),
            ("python_address_space_mib", "2"),
            ("python_unknown", "allow"),
            ("network", "allow"),
        ]);
        let expected = Confinement {
            network: true,
            read_paths: vec!["/data".into(), "/opt/x".into()],
            address_space_bytes: Some(2 * MIB),
            ..Confinement::default()
        };
        assert_eq!(loosened.unwrap(), expected);
    }

    #[test]
    fn what_is_no_value_is_refused_by_name() {
        let check = |name, value, problem| {
            let text = format!("model 'm': parameter '{name}' is '{value}', {problem}");
            assert_eq!(of_model(&[(name, value)]).unwrap_err(), text);
        };
        check("python_network", "yes", "expected 'deny' or 'allow'");
        check("python_read_paths", "data", "expected absolute paths with ':' between them");
        check("python_open_files", "0", "expected a whole number from 1 up");
    }

    #[test]
    fn the_command_line_has_the_same_names_with_dashes() {
        let mut settings = PythonSettings::default();
        for (key, value) in [("python-executable", "/v/python"), ("open-files", "9"), ("shm-default-byte-size", "1")] {
            assert_eq!(settings.set(key, value), Ok(true));
        }
        assert_eq!((settings.executable, settings.confinement.open_files), ("/v/python".into(), 9));
        assert_eq!(PythonSettings::default().set("networks", "allow"), Ok(false));
    }
}
