//! `state`: what the model's guests keep between calls, under the host's clock and within the model's limit.

use std::time::{Duration, Instant};

use nereid_inference::InferError;

use crate::{
    bindings::nereid::plugin::{
        state::{Entry, Host},
        types::Error,
    },
    convert,
    state::PluginState,
    state_store::Terms,
};

// === impl PluginState ===

impl PluginState {
    fn terms(&self, ttl_ms: Option<u64>) -> Terms {
        let time_to_live = ttl_ms.map(Duration::from_millis);
        Terms { now: Instant::now(), bytes_max: self.limits().state_bytes_max, time_to_live }
    }

    fn told<T>(&mut self, result: Result<T, InferError>) -> Result<T, Error> {
        result.inspect_err(|error| self.note_refusal(error)).map_err(convert::error)
    }
}

impl Host for PluginState {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Entry>, Error>> {
        self.enter("state.get")?;
        let entry = self.spec.state.get(&key, Instant::now());
        Ok(Ok(entry.map(|entry| Entry { value: entry.value, version: entry.version })))
    }

    fn set(&mut self, key: String, value: Vec<u8>, ttl_ms: Option<u64>) -> wasmtime::Result<Result<u64, Error>> {
        self.enter("state.set")?;
        let written = self.spec.state.set(&key, value, self.terms(ttl_ms));
        Ok(self.told(written))
    }

    fn swap(
        &mut self,
        key: String,
        value: Vec<u8>,
        expected: Option<u64>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<Option<u64>, Error>> {
        self.enter("state.swap")?;
        let swapped = self.spec.state.swap(&key, value, expected, self.terms(ttl_ms));
        Ok(self.told(swapped))
    }

    fn add(&mut self, key: String, amount: i64) -> wasmtime::Result<Result<i64, Error>> {
        self.enter("state.add")?;
        let sum = self.spec.state.add(&key, amount, self.terms(None));
        Ok(self.told(sum))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<Result<bool, Error>> {
        self.enter("state.delete")?;
        Ok(Ok(self.spec.state.delete(&key, Instant::now())))
    }

    fn keys(&mut self, prefix: String, limit: u32) -> wasmtime::Result<Result<Vec<String>, Error>> {
        self.enter("state.keys")?;
        Ok(Ok(self.spec.state.keys(&prefix, limit as usize, Instant::now())))
    }
}
