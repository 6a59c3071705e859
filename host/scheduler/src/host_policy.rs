//! Host policies: on which cores, and next to which memory, the threads of an instance work.
//!
//! Settings are read as Triton's server reads them; whether this machine has such cores and nodes is asked when an
//! instance is made, as there: a start script may name policies of GPUs that are elsewhere.
//!
//! A memory node without cores means the cores of that node. Linux gives memory on the node of the thread that first
//! touches it, so that what such an instance allocates lies there. Triton binds the allocations (`set_mempolicy`), for
//! which there is no safe library.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Cores that one set can name; what the kernel's own type holds.
const CORES_MAX: usize = 1_024;

const CORES_FORM: &str = "host policy setting 'cpu-cores' format is '<lower_cpu_core_id>-<upper_cpu_core_id>'. Got ";

/// Policies by name. An instance has the one that its group names, or that of its kind: `cpu`, `gpu_<n>`, `model`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPolicies(BTreeMap<String, HostPolicy>);

/// One policy; without settings it binds nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPolicy {
    pub cores: Option<CoreSet>,
    pub numa_node: Option<u32>,
}

/// Processors by their numbers; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreSet(BTreeSet<usize>);

// === impl HostPolicies ===

impl HostPolicies {
    /// Sets one setting of one policy; the last one counts.
    ///
    /// # Errors
    /// There is no such setting, or the value is none; in Triton's words.
    pub fn set(&mut self, name: &str, setting: &str, value: &str) -> Result<(), String> {
        let mut policy = self.get(name);
        match setting {
            "cpu-cores" => policy.cores = Some(CoreSet::parse(value)?),
            "numa-node" => policy.numa_node = Some(integer("numa-node", value)?),
            _ => {
                return Err(format!(
                    "Unsupported host policy setting '{setting}' is specified, supported settings are 'numa-node', \
                     'cpu-cores'"
                ));
            }
        }
        self.0.insert(name.to_owned(), policy);
        Ok(())
    }

    /// The policy of this name; one that was never set binds nothing.
    pub fn get(&self, name: &str) -> HostPolicy {
        self.0.get(name).cloned().unwrap_or_default()
    }
}

// === impl CoreSet ===

impl CoreSet {
    /// Ranges as Triton has them: `0-3` or `0-3,8-11`; a single core is written `4-4`.
    ///
    /// # Errors
    /// It is not of that form, names no core, or one beyond the 1,024 that the kernel's type holds.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut cores = BTreeSet::new();
        for range in text.split(',') {
            let (lower, upper) = range.split_once('-').ok_or_else(|| format!("{CORES_FORM}{range}"))?;
            let (lower, upper): (usize, usize) = (integer("cpu-cores", lower)?, integer("cpu-cores", upper)?);
            if lower > upper {
                return Err(format!("{CORES_FORM}{range}"));
            }
            if upper >= CORES_MAX {
                return Err(format!("Parsing 'cpu-cores' value: core {upper} is beyond {}", CORES_MAX - 1));
            }
            cores.extend(lower..=upper);
        }
        Ok(Self(cores))
    }

    /// As the kernel lists processors: `0-3,8`, with a line end. `None` when there is none.
    pub(crate) fn parse_list(text: &str) -> Option<Self> {
        let range = |part: &str| {
            let (lower, upper) = part.split_once('-').unwrap_or((part, part));
            Some(lower.parse().ok()?..=upper.parse().ok().filter(|upper| *upper < CORES_MAX)?)
        };
        let ranges: Option<Vec<_>> = text.trim().split(',').map(range).collect();
        let cores: BTreeSet<usize> = ranges?.into_iter().flatten().collect();
        (!cores.is_empty()).then_some(Self(cores))
    }

    /// The numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().copied()
    }

    /// All of both.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        self.0.extend(&other.0);
        self
    }
}

impl fmt::Display for CoreSet {
    /// As the kernel lists them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cores = self.0.iter().copied().peekable();
        let mut separator = "";
        while let Some(lower) = cores.next() {
            let mut upper = lower;
            while let Some(next) = cores.next_if(|next| *next == upper + 1) {
                upper = next;
            }
            write!(f, "{separator}{lower}")?;
            if upper > lower {
                write!(f, "-{upper}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

fn integer<T: std::str::FromStr>(setting: &str, text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| format!("Parsing '{setting}' value: Can't parse '{text}' to integer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(setting: &str, value: &str, expected: Result<&str, &str>) {
        let mut policies = HostPolicies::default();
        let outcome = policies.set("p", setting, value).map(|()| match policies.get("p") {
            HostPolicy { cores: Some(cores), .. } => cores.to_string(),
            HostPolicy { numa_node, .. } => format!("{numa_node:?}"),
        });
        assert_eq!(outcome.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn settings_are_read_as_triton_reads_them() {
        check("cpu-cores", "0-3", Ok("0-3"));
        check("cpu-cores", "8-11,0-1,2-2", Ok("0-2,8-11"));
        check("numa-node", "1", Ok("Some(1)"));
        let form = "host policy setting 'cpu-cores' format is '<lower_cpu_core_id>-<upper_cpu_core_id>'. Got ";
        check("cpu-cores", "5", Err(&format!("{form}5")));
        check("cpu-cores", "0-1,7", Err(&format!("{form}7")));
        check("cpu-cores", "3-1", Err(&format!("{form}3-1")));
        check("cpu-cores", "0-x", Err("Parsing 'cpu-cores' value: Can't parse 'x' to integer"));
        check("cpu-cores", "0-5000", Err("Parsing 'cpu-cores' value: core 5000 is beyond 1023"));
        check("numa-node", "left", Err("Parsing 'numa-node' value: Can't parse 'left' to integer"));
        check(
            "colour",
            "red",
            Err(
                "Unsupported host policy setting 'colour' is specified, supported settings are 'numa-node', 'cpu-cores'",
            ),
        );
    }

    #[test]
    fn both_settings_of_a_policy_stay_and_others_are_empty() {
        let mut policies = HostPolicies::default();
        policies.set("cpu", "cpu-cores", "0-1").unwrap();
        policies.set("cpu", "numa-node", "0").unwrap();
        assert_eq!(policies.get("cpu"), HostPolicy { cores: CoreSet::parse_list("0,1\n"), numa_node: Some(0) });
        assert_eq!(policies.get("gpu_0"), HostPolicy::default());
    }

    #[test]
    fn what_the_kernel_lists_is_read_back() {
        assert_eq!(CoreSet::parse_list("0-2,5,7-8\n").unwrap().to_string(), "0-2,5,7-8");
        assert_eq!(CoreSet::parse_list("\n"), None);
        assert_eq!(CoreSet::parse_list("4000"), None);
    }
}
