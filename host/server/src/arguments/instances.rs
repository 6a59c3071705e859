//! Flags of instances: how many may execute at one time, and on which cores they do.

use std::str::FromStr;

use clap::{ArgAction, Args};
use nereid_pipeline::InstanceRules;
use nereid_scheduler::{HostPolicies, RateLimiter, Supply};

/// What holds for the instances of all models.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Instances")]
pub struct InstanceArguments {
    /// 'execution_count' lets an instance execute only when the resources of its 'rate_limiter' are free, those of
    /// priority 1 most often; 'off' lets each execute as soon as there is work
    #[arg(long, value_name = "MODE", default_value = "off")]
    pub rate_limit: RateLimit,

    /// How much of a resource there is, on every device or on one; may be given several times. Without it, of each
    /// resource as much as the instance that wants most of it
    #[arg(long = "rate-limit-resource", value_name = "NAME:COUNT[:DEVICE]", action = ArgAction::Append,
          value_parser = supply)]
    pub rate_limit_resources: Vec<Supply>,

    /// Setting of a host policy, which an instance group names (or has by its kind: cpu, gpu_0, model); may be given
    /// several times. 'cpu-cores' binds the threads of its instances (0-3,8-11), 'numa-node' to a node's cores and memory
    #[arg(long = "host-policy", value_name = "POLICY,SETTING=VALUE", action = ArgAction::Append)]
    pub host_policies: Vec<HostPolicySetting>,
}

/// Whether executions are granted by the resources that are free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RateLimit {
    #[default]
    Off,
    ExecutionCount,
}

/// One `--host-policy`, known to be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPolicySetting {
    policy: String,
    setting: String,
    value: String,
}

// === impl InstanceArguments ===

impl InstanceArguments {
    /// The same in the words of instances.
    pub fn rules(&self) -> InstanceRules {
        let rate_limiter = match self.rate_limit {
            RateLimit::Off => None,
            RateLimit::ExecutionCount => Some(RateLimiter::new(self.supplies())),
        };
        let mut host_policies = HostPolicies::default();
        for HostPolicySetting { policy, setting, value } in &self.host_policies {
            // It was set once already, when it was read.
            let _ = host_policies.set(policy, setting, value);
        }
        InstanceRules { rate_limiter, host_policies, ..InstanceRules::default() }
    }

    /// Says in the log what was given for nothing.
    pub(crate) fn log(&self) {
        if self.rate_limit == RateLimit::Off && !self.rate_limit_resources.is_empty() {
            tracing::warn!("--rate-limit-resource has no effect without --rate-limit=execution_count");
        }
    }

    /// Of a resource that is given twice for the same device the smaller count is meant, as in Triton.
    fn supplies(&self) -> Vec<Supply> {
        let mut supplies: Vec<Supply> = Vec::new();
        for given in &self.rate_limit_resources {
            let same = |supply: &&mut Supply| supply.name == given.name && supply.device == given.device;
            match supplies.iter_mut().find(same) {
                Some(supply) => supply.count = supply.count.min(given.count),
                None => supplies.push(given.clone()),
            }
        }
        supplies
    }
}

// === impl RateLimit ===

impl FromStr for RateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "off" => Ok(Self::Off),
            "execution_count" => Ok(Self::ExecutionCount),
            _ => Err("invalid argument for --rate-limit, expected 'execution_count' or 'off'".to_owned()),
        }
    }
}

// === impl HostPolicySetting ===

impl FromStr for HostPolicySetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(',').and_then(|(policy, rest)| Some((policy, rest.split_once('=')?)));
        let (policy, (setting, value)) = parts
            .filter(|(policy, (setting, value))| !policy.is_empty() && !setting.is_empty() && !value.is_empty())
            .ok_or_else(|| format!("--host-policy option format is '<policy name>,<setting>=<value>'. Got {text}"))?;
        HostPolicies::default().set(policy, setting, value)?;
        Ok(Self { policy: policy.to_owned(), setting: setting.to_owned(), value: value.to_owned() })
    }
}

/// `name:count` or `name:count:device`.
fn supply(text: &str) -> Result<Supply, String> {
    let refused = || {
        format!(
            "--rate-limit-resource option format is '<resource_name>:<count>:<device>' or '<resource_name>:<count>'. Got \
             {text}"
        )
    };
    let mut parts = text.split(':');
    let (name, count) = parts.next().zip(parts.next()).filter(|(name, _)| !name.is_empty()).ok_or_else(refused)?;
    let count = count.parse().map_err(|_| refused())?;
    let device = parts.next().map(|device| device.parse::<u16>().map(i32::from)).transpose().map_err(|_| refused())?;
    match parts.next() {
        Some(_) => Err(refused()),
        None => Ok(Supply { name: name.to_owned(), count, device }),
    }
}
