//! Which versions of a model are served: the version policy, as a function.

use nereid_inference::config::VersionPolicy;

/// The policy of a model that states none.
pub(crate) const DEFAULT_POLICY: VersionPolicy = VersionPolicy::Latest { count: 1 };

/// What a policy makes of the versions there are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Ascending.
    pub(crate) versions: Vec<u64>,
    /// Versions asked for by number that are not there.
    pub(crate) missing: Vec<i64>,
}

/// Chooses from `available`, which is ascending.
pub(crate) fn choose(policy: &VersionPolicy, available: &[u64]) -> Choice {
    match policy {
        VersionPolicy::All => Choice { versions: available.to_vec(), missing: Vec::new() },
        // A message in which no number is written says 0, and means the default.
        VersionPolicy::Latest { count } => {
            let count = usize::try_from((*count).max(1)).unwrap_or(usize::MAX);
            let skipped = available.len().saturating_sub(count);
            Choice { versions: available.iter().skip(skipped).copied().collect(), missing: Vec::new() }
        }
        VersionPolicy::Specific { versions } => {
            let there = |wanted: &i64| u64::try_from(*wanted).is_ok_and(|wanted| available.contains(&wanted));
            let mut chosen: Vec<u64> =
                versions.iter().filter(|wanted| there(wanted)).map(|wanted| wanted.unsigned_abs()).collect();
            chosen.sort_unstable();
            chosen.dedup();
            Choice { versions: chosen, missing: versions.iter().copied().filter(|wanted| !there(wanted)).collect() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: VersionPolicy, versions: &[u64], missing: &[i64]) {
        let expected = Choice { versions: versions.to_vec(), missing: missing.to_vec() };
        assert_eq!(choose(&policy, &[1, 3, 10]), expected, "{policy:?}");
    }

    #[test]
    fn latest_takes_the_highest_numbers() {
        check(VersionPolicy::Latest { count: 1 }, &[10], &[]);
        check(VersionPolicy::Latest { count: 2 }, &[3, 10], &[]);
        check(VersionPolicy::Latest { count: 9 }, &[1, 3, 10], &[]);
        check(VersionPolicy::Latest { count: 0 }, &[10], &[]);
    }

    #[test]
    fn all_takes_every_one() {
        check(VersionPolicy::All, &[1, 3, 10], &[]);
    }

    #[test]
    fn specific_takes_those_named_and_says_which_are_missing() {
        check(VersionPolicy::Specific { versions: vec![3, 1, 3] }, &[1, 3], &[]);
        check(VersionPolicy::Specific { versions: vec![2, 10, -3] }, &[10], &[2, -3]);
    }

    #[test]
    fn nothing_is_chosen_from_nothing() {
        assert_eq!(choose(&DEFAULT_POLICY, &[]), Choice::default());
    }
}
