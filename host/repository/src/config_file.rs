//! Reads `config.pbtxt` of one model.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use nereid_inference::{InferError, ModelConfig};

pub(crate) const CONFIG_FILE: &str = "config.pbtxt";

/// The directory of configurations that an operator chooses between by name.
pub(crate) const CONFIG_DIRECTORY: &str = "configs";

/// Largest configuration that is read. Real ones have a few kilobytes; generated ensembles a few hundred.
pub const CONFIG_BYTES_MAX: u64 = 16 << 20;

/// Where a model's configuration is, or would be: `configs/<config_name>.pbtxt` where that exists, else `config.pbtxt`.
pub(crate) fn path(model_directory: &Path, config_name: Option<&str>) -> PathBuf {
    let chosen =
        config_name.map(|config_name| model_directory.join(CONFIG_DIRECTORY).join(format!("{config_name}.pbtxt")));
    chosen.filter(|path| path.is_file()).unwrap_or_else(|| model_directory.join(CONFIG_FILE))
}

/// The configuration as written; `None` when there is no file.
///
/// # Errors
/// The file cannot be read, or is no configuration, or names another model than its directory does.
pub(crate) fn read(path: &Path, name: &str) -> Result<Option<ModelConfig>, InferError> {
    let Some(text) = read_text(path)? else { return Ok(None) };
    let config = nereid_config::parse_text(&path.display().to_string(), &text)
        .map_err(|error| InferError::invalid_argument(error.to_string()))?;
    check_name(&config, name)?;
    Ok(Some(config))
}

/// The configuration in a file as a load request carries it.
///
/// # Errors
/// There is no such file, it cannot be read, or is no configuration.
pub fn config_as_json(path: &Path) -> Result<String, InferError> {
    let absent = || InferError::not_found(format!("there is no configuration '{}'", path.display()));
    let text = read_text(path)?.ok_or_else(absent)?;
    let config = nereid_config::parse_text(&path.display().to_string(), &text)
        .map_err(|error| InferError::invalid_argument(error.to_string()))?;
    Ok(nereid_config::to_json(&config))
}

/// A configuration that names its model names this one.
///
/// # Errors
/// It names another.
pub(crate) fn check_name(config: &ModelConfig, name: &str) -> Result<(), InferError> {
    if config.name.is_empty() || config.name == name {
        return Ok(());
    }
    Err(InferError::invalid_argument(format!(
        "unexpected directory name '{name}' for model '{}', directory name must equal model name",
        config.name
    )))
}

fn read_text(path: &Path) -> Result<Option<String>, InferError> {
    let failed = |why: &dyn std::fmt::Display| {
        InferError::invalid_argument(format!("failed to read the configuration '{}': {why}", path.display()))
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&error)),
    };
    let mut bytes = Vec::new();
    file.take(CONFIG_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > CONFIG_BYTES_MAX {
        return Err(failed(&format_args!("it has more than {CONFIG_BYTES_MAX} bytes")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| failed(&format_args!("it is not UTF-8 at byte {}", error.utf8_error().valid_up_to())))?;
    Ok(Some(text))
}
