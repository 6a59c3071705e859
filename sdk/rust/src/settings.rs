//! The plugin's own model, as configured. It does not change while a plugin lives, so read it once, in
//! [`Transform::new`](crate::Transform::new).

use std::{fmt::Display, str::FromStr};

use crate::{Error, ModelInfo, bindings::nereid::plugin::settings as host};

/// The value under `key` in the `parameters` of `config.pbtxt`.
pub fn setting(key: &str) -> Option<String> {
    host::get(key)
}

/// The value under `key`, read as a number or whatever else `T` is; `default` when the configuration does not say.
///
/// # Errors
/// The value cannot be read as a `T`: the text names the key and the value.
pub fn setting_or<T>(key: &str, default: T) -> Result<T, Error>
where
    T: FromStr<Err: Display>,
{
    setting(key).map_or(Ok(default), |value| parse(key, &value))
}

/// All of the `parameters` of `config.pbtxt`, ordered by key.
pub fn settings() -> Vec<(String, String)> {
    host::entries()
}

/// Name, version, inputs and outputs of the model that the plugin serves.
pub fn model() -> ModelInfo {
    host::model()
}

/// The name of the model's instance that this guest works for, for example `digits_0_1`.
pub fn instance_name() -> String {
    host::instance_name()
}

fn parse<T>(key: &str, value: &str) -> Result<T, Error>
where
    T: FromStr<Err: Display>,
{
    let wanted = std::any::type_name::<T>();
    value.trim().parse().map_err(|error| {
        Error::internal(format_args!(
            "parameter '{key}' of config.pbtxt is '{value}', which is no {wanted} ({error}): correct it there"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_may_have_spaces_around_it() {
        assert_eq!(parse::<usize>("top_k", " 3\n"), Ok(3));
    }

    #[test]
    fn a_setting_that_cannot_be_read_is_named() {
        assert_eq!(
            parse::<usize>("top_k", "three").unwrap_err().message(),
            "parameter 'top_k' of config.pbtxt is 'three', which is no usize (invalid digit found in string): correct it there"
        );
    }
}
