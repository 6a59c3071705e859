//! Where and how often a model is instantiated.

/// A group of like instances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceGroup {
    pub name: String,
    pub kind: InstanceKind,
    /// Instances per device, or in all on the CPU; 0 is "not written".
    pub count: i32,
    pub rate_limiter: Option<RateLimiter>,
    pub gpus: Vec<i32>,
    pub secondary_devices: Vec<SecondaryDevice>,
    pub profiles: Vec<String>,
    /// Loaded, and not given requests.
    pub passive: bool,
    pub host_policy: String,
}

/// The kind of device that an instance runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InstanceKind {
    /// GPU where every GPU named exists, else CPU.
    #[default]
    Auto,
    Gpu,
    Cpu,
    /// The model says where.
    Model,
}

/// A second device that the instance uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecondaryDevice {
    pub device_id: i64,
}

/// What an execution takes from the rate limiter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimiter {
    pub resources: Vec<RateLimiterResource>,
    pub priority: u32,
}

/// One named resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimiterResource {
    pub name: String,
    pub global: bool,
    pub count: u32,
}

// === impl InstanceKind ===

impl InstanceKind {
    /// The name in a configuration file.
    pub fn config_name(self) -> &'static str {
        match self {
            Self::Auto => "KIND_AUTO",
            Self::Gpu => "KIND_GPU",
            Self::Cpu => "KIND_CPU",
            Self::Model => "KIND_MODEL",
        }
    }
}
