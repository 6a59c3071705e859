//! Which system calls a confined process does not have: a short list of what no model needs, for everything else numpy's,
//! torch's and the next library's own.
//!
//! What is denied fails with EPERM, which Python raises as PermissionError where the model can say what it did. `clone3` does
//! not exist, so that the C library takes `clone`, whose flags a filter can see.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction,
    SeccompCmpArgLen::{Dword, Qword},
    SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use crate::launcher::Rights;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Powers over the machine and over other processes, and ways around the rest of this list; objects that stay behind when
/// the process is gone; and ways out of the group of processes that ends together.
const ALWAYS: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_mq_open,
    libc::SYS_msgget,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_semget,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_setpgid,
    libc::SYS_setsid,
    libc::SYS_settimeofday,
    libc::SYS_shmget,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

/// The older names of what makes a process.
#[cfg(target_arch = "x86_64")]
const FORKS: &[i64] = &[libc::SYS_fork, libc::SYS_vfork];
#[cfg(not(target_arch = "x86_64"))]
const FORKS: &[i64] = &[];

/// On x86-64 every call has a second number, in an interface that few kernels still have.
#[cfg(target_arch = "x86_64")]
const SECOND_NUMBERS: Option<i64> = Some(0x4000_0000);
#[cfg(not(target_arch = "x86_64"))]
const SECOND_NUMBERS: Option<i64> = None;

/// What is denied to the process of this number, as programs for the kernel.
///
/// # Errors
/// A processor that the filter cannot be made for.
pub(crate) fn filters(rights: &Rights, own: u64) -> Result<Vec<BpfProgram>, String> {
    let denied = denied(rights, own).map_err(|error| error.to_string())?;
    let mut filters = vec![compile(denied, libc::EPERM)?];
    if !rights.processes {
        filters.push(compile(Rules::from([(libc::SYS_clone3, vec![])]), libc::ENOSYS)?);
    }
    Ok(filters)
}

/// Puts them into effect, for this process and all that it becomes and starts.
///
/// # Errors
/// The kernel has no filters.
pub(crate) fn apply(filters: &[BpfProgram]) -> Result<(), String> {
    filters.iter().try_for_each(|filter| seccompiler::apply_filter(filter).map_err(|error| format!("seccomp: {error}")))
}

fn denied(rights: &Rights, own: u64) -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = ALWAYS.iter().map(|number| (*number, vec![])).collect();
    // A process that no longer dies with the server.
    let death_signal = libc::PR_SET_PDEATHSIG.unsigned_abs().into();
    rules.insert(libc::SYS_prctl, vec![rule([(0, Dword, SeccompCmpOp::Eq, death_signal)])?]);
    let others = [(0, Dword, SeccompCmpOp::Ne, 0), (0, Dword, SeccompCmpOp::Ne, own)];
    rules.insert(libc::SYS_prlimit64, vec![rule(others)?]);
    if !rights.network {
        let denied = match rights.processes || rights.gpu {
            // Processes of a model's own talk through such sockets, and CUDA makes one for its own events.
            true => vec![rule([(0, Dword, SeccompCmpOp::Ne, libc::AF_UNIX.unsigned_abs().into())])?],
            false => vec![],
        };
        rules.insert(libc::SYS_socket, denied);
        if rights.gpu && !rights.processes {
            // Its own socket, and nobody else's.
            rules.insert(libc::SYS_connect, vec![]);
        }
    }
    if !rights.processes {
        rules.extend(FORKS.iter().map(|number| (*number, vec![])));
        let thread = libc::CLONE_THREAD.unsigned_abs().into();
        rules.insert(libc::SYS_clone, vec![rule([(0, Qword, SeccompCmpOp::MaskedEq(thread), 0)])?]);
        for signalling in [libc::SYS_kill, libc::SYS_tgkill] {
            rules.insert(signalling, vec![rule([(0, Dword, SeccompCmpOp::Ne, own)])?]);
        }
    }
    if let Some(second) = SECOND_NUMBERS {
        let again: Rules = rules.iter().map(|(number, denied)| (number | second, denied.clone())).collect();
        rules.extend(again);
    }
    Ok(rules)
}

/// Holds when all of the conditions do: argument, width, comparison, value.
fn rule<const N: usize>(
    conditions: [(u8, seccompiler::SeccompCmpArgLen, SeccompCmpOp, u64); N],
) -> Result<SeccompRule, seccompiler::BackendError> {
    let conditions = conditions
        .into_iter()
        .map(|(argument, length, comparison, value)| SeccompCondition::new(argument, length, comparison, value));
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

fn compile(rules: Rules, errno: i32) -> Result<BpfProgram, String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let action = SeccompAction::Errno(errno.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, arch).map_err(|error| error.to_string())?;
    filter.try_into().map_err(|error: seccompiler::BackendError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(network: bool, processes: bool) -> Rights {
        Rights {
            read_paths: vec![],
            write_paths: vec![],
            network,
            processes,
            gpu: false,
            address_space_bytes: 1,
            file_size_bytes: 1,
            open_files: 1,
        }
    }

    fn denied_calls(network: bool, processes: bool) -> Vec<i64> {
        denied(&rights(network, processes), 7).unwrap().into_keys().filter(|number| *number < 0x4000_0000).collect()
    }

    #[test]
    fn what_is_allowed_by_name_is_not_denied() {
        let (all, network, processes) =
            (denied_calls(false, false), denied_calls(true, false), denied_calls(false, true));
        assert!(all.contains(&libc::SYS_socket) && all.contains(&libc::SYS_clone) && all.contains(&libc::SYS_ptrace));
        assert!(!network.contains(&libc::SYS_socket) && network.contains(&libc::SYS_clone));
        assert!(processes.contains(&libc::SYS_socket) && !processes.contains(&libc::SYS_clone));
        assert!([all, network, processes].iter().all(|denied| !denied.contains(&libc::SYS_execve)));
    }

    #[test]
    fn a_device_needs_a_socket_of_its_own_and_nobody_elses() {
        let of_gpu = |network| {
            let rights = Rights { gpu: true, ..rights(network, false) };
            denied(&rights, 7).unwrap()
        };
        let (alone, networked) = (of_gpu(false), of_gpu(true));
        assert!(!alone[&libc::SYS_socket].is_empty() && alone[&libc::SYS_connect].is_empty());
        assert!(!networked.contains_key(&libc::SYS_socket) && !networked.contains_key(&libc::SYS_connect));
    }

    #[test]
    fn filters_fit_what_the_kernel_takes() {
        for (network, processes) in [(false, false), (true, false), (false, true), (true, true)] {
            for filter in filters(&rights(network, processes), 7).unwrap() {
                assert!(filter.len() < 4096, "{}", filter.len());
            }
        }
    }
}
