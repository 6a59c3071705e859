//! How long a thread runs before others of its core do, as it asks Linux: who wakes up with a shorter slice than that of the running
//! thread runs at once, and does not wait for the kernel's next tick, which is up to 4 ms away.
//!
//! Needs no privilege, and changes neither priority nor share of the core. Kernels before 6.12 take the wish and do not follow it.

use std::{io, mem, time::Duration};

use libc::{SYS_sched_getattr, SYS_sched_setattr, c_long, sched_attr};

/// The shortest that Linux grants: for a thread that has a few microseconds of work, which is late if it waits.
pub(crate) const SLICE_MIN: Duration = Duration::from_micros(100);

/// Asks for slices of this length, from [`SLICE_MIN`] to 100 ms, for the calling thread alone.
pub(crate) fn ask_for_slices(length: Duration) {
    let asked = attributes().and_then(|mut attributes| {
        attributes.sched_runtime = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        set_attributes(&attributes)
    });
    if let Err(error) = asked {
        tracing::debug!("a thread for plugins keeps the slices of the system: {error}");
    }
}

#[allow(unsafe_code, reason = "the system call that no library wraps")]
fn attributes() -> io::Result<sched_attr> {
    // SAFETY: every field is an integer, for which zero is a value.
    let mut attributes: sched_attr = unsafe { mem::zeroed() };
    let size = mem::size_of::<sched_attr>();
    // SAFETY: the kernel writes at most `size` bytes, which is how long the structure is, and keeps no pointer to it.
    let status = unsafe { libc::syscall(SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    outcome(status).map(|()| attributes)
}

#[allow(unsafe_code, reason = "the system call that no library wraps")]
fn set_attributes(attributes: &sched_attr) -> io::Result<()> {
    // SAFETY: the kernel reads `attributes.size` bytes, which it wrote itself as at most the length of the structure.
    outcome(unsafe { libc::syscall(SYS_sched_setattr, 0, &raw const *attributes, 0) })
}

fn outcome(status: c_long) -> io::Result<()> {
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_gets_the_slices_that_it_asks_for_and_keeps_the_rest() {
        let before = attributes().unwrap();
        let asked = thread::spawn(|| {
            ask_for_slices(Duration::from_millis(20));
            attributes().unwrap()
        });
        let asked = asked.join().unwrap();
        // A kernel that knows no slices says zero.
        let expected = if before.sched_runtime == 0 { 0 } else { 20_000_000 };
        assert_eq!(asked.sched_runtime, expected);
        assert_eq!((asked.sched_policy, asked.sched_nice), (before.sched_policy, before.sched_nice));
        assert_eq!(attributes().unwrap().sched_runtime, before.sched_runtime, "this thread asked for nothing");
    }
}
