//! Instance groups and what they take from the rate limiter.

use nereid_inference::config::{InstanceGroup, InstanceKind, RateLimiter, RateLimiterResource, SecondaryDevice};

use super::{all, enums, named, number, try_all};
use crate::{
    ConfigError,
    proto::{
        ModelInstanceGroup, ModelRateLimiter,
        model_instance_group::{self as group, secondary_device::SecondaryDeviceKind},
        model_rate_limiter::Resource,
    },
};

enums!("instance_group.kind", group::Kind => InstanceKind {
    Auto => Auto,
    Gpu => Gpu,
    Cpu => Cpu,
    Model => Model,
});

impl From<InstanceGroup> for ModelInstanceGroup {
    fn from(group: InstanceGroup) -> Self {
        let InstanceGroup { name, kind, count, rate_limiter, gpus, secondary_devices, profiles, passive, host_policy } =
            group;
        Self {
            name,
            kind: number::<group::Kind, _>(kind),
            count,
            rate_limiter: rate_limiter.map(Into::into),
            gpus,
            secondary_devices: all(secondary_devices),
            profile: profiles,
            passive,
            host_policy,
        }
    }
}

impl TryFrom<ModelInstanceGroup> for InstanceGroup {
    type Error = ConfigError;

    fn try_from(message: ModelInstanceGroup) -> Result<Self, ConfigError> {
        let ModelInstanceGroup {
            name,
            kind,
            count,
            rate_limiter,
            gpus,
            secondary_devices,
            profile,
            passive,
            host_policy,
        } = message;
        Ok(Self {
            name,
            kind: named::<group::Kind, _>(kind)?,
            count,
            rate_limiter: rate_limiter.map(Into::into),
            gpus,
            secondary_devices: try_all(secondary_devices)?,
            profiles: profile,
            passive,
            host_policy,
        })
    }
}

impl From<SecondaryDevice> for group::SecondaryDevice {
    fn from(SecondaryDevice { device_id }: SecondaryDevice) -> Self {
        Self { kind: SecondaryDeviceKind::KindNvdla.into(), device_id }
    }
}

impl TryFrom<group::SecondaryDevice> for SecondaryDevice {
    type Error = ConfigError;

    fn try_from(message: group::SecondaryDevice) -> Result<Self, ConfigError> {
        let group::SecondaryDevice { kind, device_id } = message;
        match SecondaryDeviceKind::try_from(kind) {
            Ok(SecondaryDeviceKind::KindNvdla) => Ok(Self { device_id }),
            Err(_) => {
                Err(ConfigError::UnknownEnumNumber { field: "instance_group.secondary_devices.kind", number: kind })
            }
        }
    }
}

impl From<RateLimiter> for ModelRateLimiter {
    fn from(RateLimiter { resources, priority }: RateLimiter) -> Self {
        Self { resources: all(resources), priority }
    }
}

impl From<ModelRateLimiter> for RateLimiter {
    fn from(ModelRateLimiter { resources, priority }: ModelRateLimiter) -> Self {
        Self { resources: all(resources), priority }
    }
}

impl From<RateLimiterResource> for Resource {
    fn from(RateLimiterResource { name, global, count }: RateLimiterResource) -> Self {
        Self { name, global, count }
    }
}

impl From<Resource> for RateLimiterResource {
    fn from(Resource { name, global, count }: Resource) -> Self {
        Self { name, global, count }
    }
}
