//! Between the messages of the wire and the nouns of inference, by hand and both ways.
//!
//! Every message and every noun is taken apart with all its fields named, so a field that is added on one side does not
//! compile until the other side has it. Two things have no noun: a choice message in which nothing is chosen is the same
//! as none, and the only kind of secondary device.

mod instances;
mod optimization;
mod scheduling;
mod tensors;
mod warmup;

use std::collections::BTreeMap;

use nereid_inference::{
    ModelConfig,
    config::{MetricControl, RepositoryAgent, ResponseCache, TransactionPolicy, VersionPolicy},
};

use crate::{ConfigError, proto};

/// The configuration as a message.
pub fn to_proto(config: &ModelConfig) -> proto::ModelConfig {
    config.clone().into()
}

/// The configuration that a message describes.
///
/// # Errors
/// An enum has a number that names nothing.
pub fn from_proto(message: proto::ModelConfig) -> Result<ModelConfig, ConfigError> {
    message.try_into()
}

/// Two enums with the same values, and how an unknown number is named.
macro_rules! enums {
    ($field:literal, $proto:path => $domain:path { $($there:ident => $here:ident),* $(,)? }) => {
        impl From<$domain> for $proto {
            fn from(value: $domain) -> Self {
                match value { $(<$domain>::$here => <$proto>::$there),* }
            }
        }

        impl From<$proto> for $domain {
            fn from(value: $proto) -> Self {
                match value { $(<$proto>::$there => <$domain>::$here),* }
            }
        }

        impl crate::convert::Named for $proto {
            const FIELD: &'static str = $field;
        }
    };
}
use enums;

/// An enum of the schema that can say where it is used.
trait Named: TryFrom<i32> {
    const FIELD: &'static str;
}

/// The enum behind a number of the wire.
fn named<P: Named, D: From<P>>(number: i32) -> Result<D, ConfigError> {
    let value = P::try_from(number).map_err(|_| ConfigError::UnknownEnumNumber { field: P::FIELD, number })?;
    Ok(value.into())
}

/// The number of the wire for an enum.
fn number<P: From<D> + Into<i32>, D>(value: D) -> i32 {
    P::from(value).into()
}

fn all<A, B: From<A>>(items: Vec<A>) -> Vec<B> {
    items.into_iter().map(B::from).collect()
}

fn try_all<A, B: TryFrom<A, Error = ConfigError>>(items: Vec<A>) -> Result<Vec<B>, ConfigError> {
    items.into_iter().map(B::try_from).collect()
}

fn values<K: Ord, A, B: From<A>>(entries: BTreeMap<K, A>) -> BTreeMap<K, B> {
    entries.into_iter().map(|(key, value)| (key, value.into())).collect()
}

fn try_values<K: Ord, A, B>(entries: BTreeMap<K, A>) -> Result<BTreeMap<K, B>, ConfigError>
where
    B: TryFrom<A, Error = ConfigError>,
{
    entries.into_iter().map(|(key, value)| Ok((key, value.try_into()?))).collect()
}

// === ModelConfig ===

impl From<ModelConfig> for proto::ModelConfig {
    fn from(config: ModelConfig) -> Self {
        let ModelConfig {
            name,
            platform,
            backend,
            runtime,
            version_policy,
            max_batch_size,
            inputs,
            outputs,
            batch_inputs,
            batch_outputs,
            optimization,
            scheduling,
            instance_groups,
            default_model_filename,
            cc_model_filenames,
            metric_tags,
            parameters,
            warmup,
            operation_library_filenames,
            transaction_policy,
            repository_agents,
            response_cache,
            model_metrics,
        } = config;
        let parameter = |(key, string_value)| (key, proto::ModelParameter { string_value });
        Self {
            name,
            platform,
            backend,
            runtime,
            version_policy: version_policy.map(Into::into),
            max_batch_size,
            input: all(inputs),
            output: all(outputs),
            batch_input: all(batch_inputs),
            batch_output: all(batch_outputs),
            optimization: optimization.map(Into::into),
            scheduling_choice: scheduling.map(Into::into),
            instance_group: all(instance_groups),
            default_model_filename,
            cc_model_filenames,
            metric_tags,
            parameters: parameters.into_iter().map(parameter).collect(),
            model_warmup: all(warmup),
            model_operations: operation_library_filenames
                .map(|op_library_filename| proto::ModelOperations { op_library_filename }),
            model_transaction_policy: transaction_policy
                .map(|TransactionPolicy { decoupled }| proto::ModelTransactionPolicy { decoupled }),
            model_repository_agents: repository_agents
                .map(|agents| proto::ModelRepositoryAgents { agents: all(agents) }),
            response_cache: response_cache.map(|ResponseCache { enable }| proto::ModelResponseCache { enable }),
            model_metrics: model_metrics.map(|controls| proto::ModelMetrics { metric_control: all(controls) }),
        }
    }
}

impl TryFrom<proto::ModelConfig> for ModelConfig {
    type Error = ConfigError;

    fn try_from(message: proto::ModelConfig) -> Result<Self, ConfigError> {
        let proto::ModelConfig {
            name,
            platform,
            backend,
            runtime,
            version_policy,
            max_batch_size,
            input,
            output,
            batch_input,
            batch_output,
            optimization,
            scheduling_choice,
            instance_group,
            default_model_filename,
            cc_model_filenames,
            metric_tags,
            parameters,
            model_warmup,
            model_operations,
            model_transaction_policy,
            model_repository_agents,
            response_cache,
            model_metrics,
        } = message;
        let parameter = |(key, proto::ModelParameter { string_value })| (key, string_value);
        Ok(Self {
            name,
            platform,
            backend,
            runtime,
            version_policy: version_policy.and_then(|policy| policy.policy_choice).map(Into::into),
            max_batch_size,
            inputs: try_all(input)?,
            outputs: try_all(output)?,
            batch_inputs: try_all(batch_input)?,
            batch_outputs: try_all(batch_output)?,
            optimization: optimization.map(TryInto::try_into).transpose()?,
            scheduling: scheduling_choice.map(TryInto::try_into).transpose()?,
            instance_groups: try_all(instance_group)?,
            default_model_filename,
            cc_model_filenames,
            metric_tags,
            parameters: parameters.into_iter().map(parameter).collect(),
            warmup: try_all(model_warmup)?,
            operation_library_filenames: model_operations
                .map(|proto::ModelOperations { op_library_filename }| op_library_filename),
            transaction_policy: model_transaction_policy
                .map(|proto::ModelTransactionPolicy { decoupled }| TransactionPolicy { decoupled }),
            repository_agents: model_repository_agents.map(|proto::ModelRepositoryAgents { agents }| all(agents)),
            response_cache: response_cache.map(|proto::ModelResponseCache { enable }| ResponseCache { enable }),
            model_metrics: model_metrics.map(|proto::ModelMetrics { metric_control }| all(metric_control)),
        })
    }
}

// === parts without a file of their own ===

impl From<VersionPolicy> for proto::ModelVersionPolicy {
    fn from(policy: VersionPolicy) -> Self {
        use proto::model_version_policy::{All, Latest, PolicyChoice, Specific};
        let choice = match policy {
            VersionPolicy::Latest { count } => PolicyChoice::Latest(Latest { num_versions: count }),
            VersionPolicy::All => PolicyChoice::All(All {}),
            VersionPolicy::Specific { versions } => PolicyChoice::Specific(Specific { versions }),
        };
        Self { policy_choice: Some(choice) }
    }
}

impl From<proto::model_version_policy::PolicyChoice> for VersionPolicy {
    fn from(choice: proto::model_version_policy::PolicyChoice) -> Self {
        use proto::model_version_policy::{All, Latest, PolicyChoice, Specific};
        match choice {
            PolicyChoice::Latest(Latest { num_versions }) => Self::Latest { count: num_versions },
            PolicyChoice::All(All {}) => Self::All,
            PolicyChoice::Specific(Specific { versions }) => Self::Specific { versions },
        }
    }
}

impl From<RepositoryAgent> for proto::model_repository_agents::Agent {
    fn from(RepositoryAgent { name, parameters }: RepositoryAgent) -> Self {
        Self { name, parameters }
    }
}

impl From<proto::model_repository_agents::Agent> for RepositoryAgent {
    fn from(proto::model_repository_agents::Agent { name, parameters }: proto::model_repository_agents::Agent) -> Self {
        Self { name, parameters }
    }
}

impl From<MetricControl> for proto::model_metrics::MetricControl {
    fn from(MetricControl { family, histogram_buckets }: MetricControl) -> Self {
        use proto::model_metrics::metric_control::{HistogramOptions, MetricIdentifier, MetricOptions};
        Self {
            metric_identifier: family.map(|family| MetricIdentifier { family }),
            metric_options: histogram_buckets
                .map(|buckets| MetricOptions::HistogramOptions(HistogramOptions { buckets })),
        }
    }
}

impl From<proto::model_metrics::MetricControl> for MetricControl {
    fn from(message: proto::model_metrics::MetricControl) -> Self {
        use proto::model_metrics::metric_control::{HistogramOptions, MetricIdentifier, MetricOptions};
        let proto::model_metrics::MetricControl { metric_identifier, metric_options } = message;
        Self {
            family: metric_identifier.map(|MetricIdentifier { family }| family),
            histogram_buckets: metric_options
                .map(|MetricOptions::HistogramOptions(HistogramOptions { buckets })| buckets),
        }
    }
}

#[cfg(test)]
mod tests;
