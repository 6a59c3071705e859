//! Whether the inputs of two requests may lie in one batch: the same inputs, and the same shapes but for those that may
//! differ. Costs a look at each input; names of ragged inputs are compared only where shapes differ.

use std::sync::Arc;

/// Inputs whose requests may differ in shape and share a batch (`allow_ragged_batch`). Cheap to clone; nothing for a
/// model without them.
#[derive(Clone, Debug, Default)]
pub struct RaggedInputs(Option<Arc<[Arc<str>]>>);

// === impl RaggedInputs ===

impl RaggedInputs {
    /// The inputs of these names.
    pub fn new(names: impl IntoIterator<Item = Arc<str>>) -> Self {
        let names: Arc<[Arc<str>]> = names.into_iter().collect();
        Self((!names.is_empty()).then_some(names))
    }

    /// Whether two requests with inputs of these names and inner shapes, in the signature's order, may share a batch. One
    /// that leaves out an optional input which the other brings may not.
    pub(crate) fn may_share<'a>(
        &self,
        mine: impl ExactSizeIterator<Item = (&'a str, &'a [u64])>,
        theirs: impl ExactSizeIterator<Item = (&'a str, &'a [u64])>,
    ) -> bool {
        mine.len() == theirs.len()
            && mine
                .zip(theirs)
                .all(|((name, mine), (other, theirs))| name == other && (mine == theirs || self.contains(name)))
    }

    fn contains(&self, input: &str) -> bool {
        self.0.as_ref().is_some_and(|names| names.iter().any(|name| **name == *input))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mine: &[(&str, &[u64])], theirs: &[(&str, &[u64])], expected: bool) {
        let ragged = RaggedInputs::new(["R".into()]);
        assert_eq!(ragged.may_share(mine.iter().copied(), theirs.iter().copied()), expected);
        assert_eq!(ragged.may_share(theirs.iter().copied(), mine.iter().copied()), expected, "the other way round");
    }

    #[test]
    fn only_ragged_inputs_may_differ() {
        check(&[("R", &[3]), ("X", &[2])], &[("R", &[4]), ("X", &[2])], true);
        check(&[("R", &[3]), ("X", &[2])], &[("R", &[3]), ("X", &[1])], false);
        check(&[("R", &[3, 1])], &[("R", &[0, 9])], true);
    }

    #[test]
    fn the_same_inputs_must_be_there() {
        check(&[("R", &[3]), ("X", &[2])], &[("R", &[3])], false);
        check(&[("R", &[3])], &[("X", &[3])], false);
        check(&[], &[], true);
    }
}
