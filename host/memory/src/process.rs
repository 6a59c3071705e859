//! How much memory the process has, as the kernel says.
//!
//! Resident memory counts pages that were touched: what is reserved and never used is not in it, nor is the memory of
//! devices and of other processes. Linux alone tells; elsewhere nothing is measured, and loads are charged by estimates.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
};

const STATUS: &str = "/proc/self/status";

/// Writing this there starts the peak over; source: proc(5), `clear_refs`.
const CLEAR_REFS: (&str, &str) = ("/proc/self/clear_refs", "5");

/// What is asked of the process.
pub trait ProcessMemory: Send + Sync {
    /// Resident now; `None` where nobody tells.
    fn resident_bytes(&self) -> Option<u64>;

    /// From now on the peak is counted anew.
    fn restart_peak(&self);

    /// The highest that it was since then; `None` where nobody tells.
    fn peak_bytes(&self) -> Option<u64>;
}

/// From `/proc`, two small reads each.
#[derive(Debug, Default)]
pub struct ProcFs {
    /// The peak is that since it was started over, not that of the whole life.
    peak_is_recent: AtomicBool,
}

// === impl ProcFs ===

impl ProcessMemory for ProcFs {
    fn resident_bytes(&self) -> Option<u64> {
        field(&fs::read_to_string(STATUS).ok()?, "VmRSS")
    }

    fn restart_peak(&self) {
        let (path, value) = CLEAR_REFS;
        self.peak_is_recent.store(fs::write(path, value).is_ok(), Ordering::Relaxed);
    }

    fn peak_bytes(&self) -> Option<u64> {
        let name = if self.peak_is_recent.load(Ordering::Relaxed) { "VmHWM" } else { "VmRSS" };
        field(&fs::read_to_string(STATUS).ok()?, name)
    }
}

/// A line such as `VmRSS:      2160 kB`.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_in_bytes_and_a_strange_one_not_at_all() {
        let status = "Name:\tx\nVmHWM:\t  2160 kB\nVmRSS:\t  100 kB\nVmBad:\t 1 MB\n";
        assert_eq!(field(status, "VmRSS"), Some(102_400));
        assert_eq!(field(status, "VmHWM"), Some(2_211_840));
        assert_eq!((field(status, "VmBad"), field(status, "VmNo"), field(status, "Vm")), (None, None, None));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_that_is_touched_is_seen() {
        let process = ProcFs::default();
        let before = process.resident_bytes().unwrap();
        process.restart_peak();
        let touched = vec![1_u8; 64 << 20];
        let grown = process.resident_bytes().unwrap().saturating_sub(before);
        assert!(grown > 48 << 20, "{grown} of {}", touched.len());
        drop(touched);
        assert!(process.peak_bytes().unwrap() >= process.resident_bytes().unwrap());
    }
}
