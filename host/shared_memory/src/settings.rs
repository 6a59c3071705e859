//! Whether clients may share memory at all, and how much of it.

/// Regions at one time. Each costs a place in a table that the signal handler walks and at most two of the 65,530
/// mappings that Linux gives to a process. It bounds the table, so it cannot be raised without building anew.
pub const REGIONS_MAX: usize = 1024;

/// Bytes of all regions together: 64 GiB. Memory that a client maps is the client's, but what the server writes to an
/// object that was cut short becomes the server's own; this bounds it.
pub const MAPPED_BYTES_MAX: u64 = 64 << 30;

/// Bytes of a region's name: longer ones are mistakes, and every status answer repeats them.
pub(crate) const NAME_BYTES_MAX: usize = 1024;

/// What the operator allows.
#[derive(Clone, Debug)]
pub struct SharedMemorySettings {
    /// `--allow-client-shm`: whether clients may register regions. They can have the server read and write any object
    /// of the machine's that the server may open, hence the operator must say so.
    pub is_allowed: bool,
    /// Regions at one time, [`REGIONS_MAX`] at most.
    pub regions_max: usize,
    /// Bytes of all regions together.
    pub mapped_bytes_max: u64,
}

// === impl SharedMemorySettings ===

impl SharedMemorySettings {
    /// Allowed or not, with every limit at its default.
    pub fn new(is_allowed: bool) -> Self {
        Self { is_allowed, regions_max: REGIONS_MAX, mapped_bytes_max: MAPPED_BYTES_MAX }
    }
}
