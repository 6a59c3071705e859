//! Whether clients may share memory at all, and how much of it.

/// Places in the table that the signal handler walks; each region takes one, and at most two of the 65,530 mappings that
/// Linux gives to a process.
pub(crate) const REGIONS_MAX: usize = 1024;

nereid_inference::limits! {
    /// What clients may share.
    pub struct SharedMemoryLimits {
        /// Regions at one time.
        regions_max: Count = REGIONS_MAX, in 1..=REGIONS_MAX,
            "shm-regions", "regions of shared memory at one time";
        /// Bytes of all regions together.
        mapped_bytes_max: Bytes = 64 << 30,
            "shm-bytes", "all regions of shared memory together; what the server writes to one that was cut short is its own memory";
        /// Bytes of one tensor.
        tensor_bytes_max: Bytes = i32::MAX as usize,
            "shm-tensor", "one tensor in shared memory; strings and some others are copied, and naming one costs a client nothing";
        /// Bytes of a region's name.
        name_bytes_max: Bytes = 1024,
            "shm-name", "name of a region; every status answer repeats it";
    }
}

/// What the operator allows.
#[derive(Clone, Debug)]
pub struct SharedMemorySettings {
    /// `--allow-client-shm`: whether clients may register regions. They can have the server read and write any object
    /// of the machine's that the server may open, hence the operator must say so.
    pub is_allowed: bool,
    pub limits: SharedMemoryLimits,
}

// === impl SharedMemorySettings ===

impl SharedMemorySettings {
    /// Allowed or not, with every limit at its default.
    pub fn new(is_allowed: bool) -> Self {
        Self { is_allowed, limits: SharedMemoryLimits::default() }
    }
}
