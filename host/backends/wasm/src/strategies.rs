//! Batching strategies that are components: `batchstrategy.wasm`, with limits in a `batchstrategy.toml` beside it.
//!
//! Promises: a strategy reaches nothing but the log, may look at running clocks where that is granted, and is ended long before a batch
//! stops waiting for it.

use std::{path::Path, sync::Arc, time::Duration};

use nereid_inference::{BatchStrategies, BatchStrategy, InferError, ModelSource, Signature};
use nereid_plugin::{
    BreakerSettings, LifeSettings, Plugin, PluginKind, PluginLimits, PluginSpec, PluginStrategy, StrategyModel,
};

use crate::{
    backend::WasmBackend,
    plugin_file::{self, GrantsTable, PluginFile},
};

/// From the start of a call to its end; a request waits for nobody else meanwhile.
const WALL_TIME_MAX: Duration = Duration::from_millis(100);

/// Time that a call may compute: a thousand times what a decision takes, and still short beside a batch.
const CPU_TIME_MAX: Duration = Duration::from_millis(20);

/// What no strategy gets more of: a batch goes without it after a quarter of a second.
const TIME_CEILING: Duration = Duration::from_millis(200);

/// Guests lost in a row after which nobody is asked for a while: each costs a batch up to a tenth of a second.
const BREAKER_FAILURES: u32 = 3;

/// The strategies of a server.
pub struct WasmStrategies(Arc<WasmBackend>);

// === impl WasmStrategies ===

impl WasmStrategies {
    /// Strategies with the engine, the ceilings and the metrics of the backend's plugins.
    pub fn new(backend: Arc<WasmBackend>) -> Self {
        Self(backend)
    }

    /// What the file beside the component asks for, as far as a strategy may have it.
    fn asked(file: &Path, model: &str) -> Result<PluginFile, InferError> {
        let beside = file.with_extension("toml");
        let PluginFile { limits, grants } = plugin_file::read_file(&beside)?;
        if let Some(key) = beyond(&grants) {
            return Err(InferError::permission(format!(
                "'{}' of model '{model}' asks for [grants] {key}: a batching strategy is granted clocks and random_seed, and nothing else",
                beside.display()
            )));
        }
        Ok(PluginFile { limits, grants })
    }
}

impl BatchStrategies for WasmStrategies {
    fn load(&self, file: &Path, source: &ModelSource) -> Result<Arc<dyn BatchStrategy>, InferError> {
        let Self(backend) = self;
        let (identity, config) = (&source.identity, &source.config);
        let compiled = backend.compile_file(file)?;
        if compiled.kind() != PluginKind::Batching {
            return Err(InferError::invalid_argument(format!(
                "'{}' cannot form the batches of model '{}': it is built for the world {}, not for batching-plugin",
                file.display(),
                identity.name,
                compiled.kind().world()
            )));
        }
        let asked = Self::asked(file, &identity.name)?;
        let settings = &backend.settings;
        let defaults =
            PluginLimits { wall_time_max: WALL_TIME_MAX, cpu_time_max: CPU_TIME_MAX, ..settings.limits.clone() };
        let (limits, grants) = settings.policy.get().settle(source, asked, &defaults)?;
        let limits = PluginLimits {
            wall_time_max: limits.wall_time_max.min(TIME_CEILING),
            cpu_time_max: limits.cpu_time_max.min(TIME_CEILING),
            ..limits
        };
        // What it uses is told apart from what the model's own plugin does.
        let account: Arc<str> = format!("batching:{}", identity.name).into();
        let breaker = BreakerSettings { failures: BREAKER_FAILURES, ..BreakerSettings::DEFAULT };
        let spec = PluginSpec {
            plugin: file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            model: identity.clone(),
            signature: Signature::from_config(config)?,
            decoupled: config.is_decoupled(),
            parameters: config.parameters.clone(),
            limits,
            grants,
            service: backend.ports.service.clone(),
            control: backend.ports.control.clone(),
            state: backend.state_of(&account),
            meters: settings.metrics.of_model(&account),
            usage: settings.usage.of_model(&account),
            listener: None,
            fresh_guest_per_call: false,
            life: LifeSettings { breaker, ..LifeSettings::default() },
        };
        let told = StrategyModel {
            batch_rows_max: u32::try_from(config.max_batch_size).unwrap_or_default(),
            config: nereid_config::to_json(config),
        };
        Ok(PluginStrategy::start(Plugin::new(backend.engine()?, compiled, spec), told)?)
    }
}

/// A grant that no strategy has, if one is asked for.
fn beyond(grants: &GrantsTable) -> Option<&'static str> {
    let asked = [
        ("models", !grants.models.is_empty()),
        ("model_control", !grants.model_control.is_empty()),
        ("files", !grants.files.is_empty()),
        ("environment", !grants.environment.is_empty()),
        ("inherit_environment", !grants.inherit_environment.is_empty()),
        ("secrets", !grants.secrets.is_empty()),
        ("http", !grants.http.is_empty()),
        ("http_private", !grants.http_private.is_empty()),
    ];
    asked.into_iter().find(|(_, is_asked)| *is_asked).map(|(key, _)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_all_that_a_strategy_may_ask_for() {
        let grants = |text: &str| plugin_file::parse("batchstrategy.toml", text).unwrap().grants;
        assert_eq!(beyond(&grants("[grants]\nclocks = true\nrandom_seed = 7\n")), None);
        assert_eq!(beyond(&grants("[grants]\nsecrets = [\"key\"]\n")), Some("secrets"));
        assert_eq!(beyond(&grants("[[grants.files]]\npath = \"data\"\nat = \"/data\"\n")), Some("files"));
    }
}
