//! `secrets`: what the operator keeps for plugins, by name.

use nereid_inference::InferError;

use crate::{
    bindings::nereid::plugin::{secrets::Host, types::Error},
    convert,
    state::PluginState,
};

impl Host for PluginState {
    fn get(&mut self, name: String) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        self.enter("secrets.get")?;
        Ok(match self.spec.grants.secrets.get(&name) {
            Some(secret) => Ok(secret.bytes().to_vec()),
            None => {
                let text = format!("secret '{name}' is not granted: list it under [grants] secrets in plugin.toml");
                Err(convert::error(InferError::permission(text)))
            }
        })
    }
}
