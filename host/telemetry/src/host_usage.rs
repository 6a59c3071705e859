//! How busy the machine is: processor time and memory, from `/proc`.
//!
//! A figure that cannot be read (another system, a restricted container) is absent from the page rather than zero.

use std::fs;

/// One reading.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct HostUsage {
    /// Share of processor time spent working since the reading before, 0 to 1.
    pub(crate) cpu_utilization: Option<f64>,
    pub(crate) memory: Option<MemoryUsage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemoryUsage {
    pub(crate) total_bytes: u64,
    /// Total less available: what the kernel could not hand out without swapping.
    pub(crate) used_bytes: u64,
}

/// Reads usage; remembers the processor time of the last reading.
#[derive(Debug, Default)]
pub(crate) struct HostUsageReader {
    last: Option<CpuTicks>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CpuTicks {
    busy: u64,
    total: u64,
}

// === impl HostUsageReader ===

impl HostUsageReader {
    /// Reads `/proc` now. The first reading has nothing to compare processor time with and reports 0.
    pub(crate) fn read(&mut self) -> HostUsage {
        let ticks = fs::read_to_string("/proc/stat").ok().as_deref().and_then(parse_cpu_ticks);
        let memory = fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(parse_memory);
        let cpu_utilization = ticks.map(|ticks| ticks.utilization_since(self.last));
        self.last = ticks.or(self.last);
        HostUsage { cpu_utilization, memory }
    }
}

// === impl CpuTicks ===

impl CpuTicks {
    fn utilization_since(self, earlier: Option<Self>) -> f64 {
        let Some(earlier) = earlier else { return 0.0 };
        let total = self.total.saturating_sub(earlier.total);
        let busy = self.busy.saturating_sub(earlier.busy);
        if total == 0 { 0.0 } else { (busy as f64 / total as f64).min(1.0) }
    }
}

/// The first line: `cpu user nice system idle iowait irq softirq steal guest guest_nice`. Guest time is part of user
/// time already and is left out.
fn parse_cpu_ticks(stat: &str) -> Option<CpuTicks> {
    let figures = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = figures.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
    let total: u64 = ticks.iter().sum();
    let idle = ticks.get(3)? + ticks.get(4).copied().unwrap_or(0);
    Some(CpuTicks { busy: total - idle, total })
}

fn parse_memory(meminfo: &str) -> Option<MemoryUsage> {
    let bytes_of = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    };
    let total_bytes = bytes_of("MemTotal")?;
    let available_bytes = bytes_of("MemAvailable")?;
    Some(MemoryUsage { total_bytes, used_bytes: total_bytes.checked_sub(available_bytes)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_work_and_leaves_out_idle_waiting_and_guest_time() {
        let ticks = parse_cpu_ticks("cpu  10 20 30 400 50 6 7 8 9 9\ncpu0 1 2 3 4\n").unwrap();
        assert_eq!(ticks, CpuTicks { busy: 81, total: 531 });
    }

    #[test]
    fn utilization_is_the_share_of_work_between_two_readings() {
        let earlier = CpuTicks { busy: 100, total: 1_000 };
        assert_eq!(CpuTicks { busy: 125, total: 1_100 }.utilization_since(Some(earlier)), 0.25);
        assert_eq!(earlier.utilization_since(Some(earlier)), 0.0);
        assert_eq!(earlier.utilization_since(None), 0.0);
    }

    #[test]
    fn memory_used_is_total_less_available() {
        let memory = parse_memory("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:  400 kB\n").unwrap();
        assert_eq!(memory, MemoryUsage { total_bytes: 1_024_000, used_bytes: 614_400 });
    }

    #[test]
    fn what_cannot_be_read_is_absent() {
        assert_eq!(parse_cpu_ticks("intr 1 2 3"), None);
        assert_eq!(parse_cpu_ticks("cpu  1 2 x 4"), None);
        assert_eq!(parse_memory("MemTotal: 1000 kB\n"), None);
        assert_eq!(parse_memory("MemTotal: 1 kB\nMemAvailable: 2 kB\n"), None);
    }
}
