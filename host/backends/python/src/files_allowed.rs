//! Which files a confined process sees: Landlock, as far as the kernel has it.
//!
//! Everything else is denied, whatever the permissions of the user are. Where it is there, signals to processes outside and
//! abstract sockets are denied too, and TCP unless the network is allowed.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope, path_beneath_rules,
};

use crate::launcher::Rights;

/// The newest version that is asked for; an older kernel enforces what it knows.
const VERSION: ABI = ABI::V6;

/// What programs read of any system. Of `/etc` only what says nothing of value; of `/proc` the process itself.
pub(crate) const SYSTEM_PATHS: [&str; 31] = [
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/alternatives",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/mime.types",
    "/etc/magic",
    "/etc/os-release",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/pki",
    "/etc/fonts",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/filesystems",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/kernel/random",
    "/sys/devices/system",
    "/sys/fs/cgroup",
];

/// Read by those who look names up.
pub(crate) const NETWORK_PATHS: [&str; 6] =
    ["/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/gai.conf", "/etc/services", "/run/systemd/resolve"];

/// Where the CUDA driver finds its devices.
pub(crate) const GPU_PATHS: [&str; 6] =
    ["/proc/driver/nvidia", "/proc/devices", "/proc/modules", "/sys/bus/pci", "/sys/devices", "/sys/module/nvidia"];

/// Devices that everybody may write to.
pub(crate) const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Takes the rights to all other files away; says what the kernel does not know.
///
/// # Errors
/// The kernel has Landlock and refuses.
pub(crate) fn apply(rights: &Rights) -> Result<Option<String>, String> {
    let status = restrict(rights).map_err(|error| format!("landlock: {error}"))?;
    Ok(match status {
        RulesetStatus::FullyEnforced => None,
        RulesetStatus::PartiallyEnforced => Some(
            "this kernel knows only a part of Landlock: signals to other processes, and perhaps more, are not confined by it"
                .to_owned(),
        ),
        RulesetStatus::NotEnforced => Some(
            "this kernel has no Landlock: the process can read and write all files that the server can".to_owned(),
        ),
    })
}

fn restrict(rights: &Rights) -> Result<RulesetStatus, RulesetError> {
    let ruleset =
        Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(AccessFs::from_all(VERSION))?;
    let ruleset = if rights.network { ruleset } else { ruleset.handle_access(AccessNet::from_all(VERSION))? };
    let created = ruleset.scope(Scope::from_all(VERSION))?.create()?;
    let status = created
        .add_rules(path_beneath_rules(&rights.read_paths, AccessFs::from_read(VERSION)))?
        .add_rules(path_beneath_rules(&rights.write_paths, AccessFs::from_all(VERSION)))?
        .restrict_self()?;
    Ok(status.ruleset)
}
