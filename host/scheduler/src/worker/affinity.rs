//! Threads on the cores that a host policy names.
//!
//! Whatever is made on such a thread is bound with it: threads that a library starts inherit the cores of the one that
//! starts them.

use std::{fs, panic, path::Path, thread};

use nereid_inference::InferError;
use rustix_affinity::process::{CpuSet, sched_setaffinity};

use crate::host_policy::{CoreSet, HostPolicy};

/// Where Linux describes its memory nodes.
const NODES: &str = "/sys/devices/system/node";

/// The cores of a policy on this machine; `None` when it binds nothing.
///
/// # Errors
/// `InvalidArgument`: there is no such memory node.
pub fn cores_of(name: &str, policy: &HostPolicy) -> Result<Option<CoreSet>, InferError> {
    let Some(node) = policy.numa_node else { return Ok(policy.cores.clone()) };
    let list = fs::read_to_string(Path::new(NODES).join(format!("node{node}/cpulist")));
    let of_node = list.ok().as_deref().and_then(CoreSet::parse_list);
    if of_node.is_none() {
        return Err(InferError::invalid_argument(format!(
            "Unable to set NUMA memory policy: host policy '{name}' names node {node}, which this machine does not have, \
             or which has no processors; {NODES} lists its nodes"
        )));
    }
    Ok(policy.cores.clone().or(of_node))
}

/// Does the work on a thread of its own that may run on these cores alone; without cores on the calling thread. A panic
/// goes on in the caller.
///
/// # Errors
/// The thread cannot be started, or none of the cores may be used.
pub fn on_cores<R: Send>(cores: Option<&CoreSet>, work: impl FnOnce() -> R + Send) -> Result<R, InferError> {
    let Some(cores) = cores else { return Ok(work()) };
    thread::scope(|scope| {
        let pinned = || {
            pin_current_thread(cores)?;
            Ok(work())
        };
        let started = thread::Builder::new().name("nereid-pinned".to_owned()).spawn_scoped(scope, pinned);
        let thread = started
            .map_err(|error| InferError::internal("cannot start a thread to make an instance").with_source(error))?;
        thread.join().unwrap_or_else(|payload| panic::resume_unwind(payload))
    })
}

/// From now on the calling thread, and what it starts, runs on these cores alone.
///
/// # Errors
/// None of them is there, or the operating system does not allow their use.
pub(super) fn pin_current_thread(cores: &CoreSet) -> Result<(), InferError> {
    let mut set = CpuSet::new();
    cores.iter().filter(|core| *core < CpuSet::MAX_CPU).for_each(|core| set.set(core));
    sched_setaffinity(None, &set).map_err(|error| {
        InferError::invalid_argument(format!("Unable to set NUMA thread affinity: {error} (cores {cores})"))
    })
}

#[cfg(test)]
mod tests {
    use rustix_affinity::process::sched_getaffinity;

    use super::*;

    fn allowed() -> Vec<usize> {
        let set = sched_getaffinity(None).unwrap();
        (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
    }

    #[test]
    fn work_and_what_it_starts_stays_on_the_cores_and_the_caller_does_not() {
        let before = allowed();
        let last = *before.last().unwrap();
        let cores = CoreSet::parse(&format!("{last}-{last}")).unwrap();
        let (own, inherited) = on_cores(Some(&cores), || (allowed(), thread::spawn(allowed).join().unwrap())).unwrap();
        assert_eq!((own, inherited), (vec![last], vec![last]));
        assert_eq!(on_cores(None, allowed).unwrap(), before);
        assert_eq!(allowed(), before);
    }

    #[test]
    fn cores_that_are_not_there_are_an_error_before_any_work() {
        let cores = CoreSet::parse("1000-1001").unwrap();
        let error = on_cores(Some(&cores), || unreachable!("the work was done")).err().unwrap();
        assert!(error.message().starts_with("Unable to set NUMA thread affinity: "), "{error}");
        assert!(error.message().ends_with("(cores 1000-1001)"), "{error}");
    }

    #[test]
    fn a_node_stands_for_its_cores_where_there_is_one() {
        let policy = |numa_node| HostPolicy { cores: None, numa_node };
        assert_eq!(cores_of("p", &policy(None)).unwrap(), None);
        if Path::new(NODES).join("node0/cpulist").exists() {
            assert!(cores_of("p", &policy(Some(0))).unwrap().is_some());
        }
        let error = cores_of("p", &policy(Some(4_000))).unwrap_err();
        assert!(error.message().contains("host policy 'p' names node 4000"), "{error}");
    }
}
