//! Where the elements of a tensor stand in a larger one of the same rank: each at its own indices.

/// Elements that follow each other in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) length: usize,
}

/// How many runs there are; one where at most the first extents differ.
pub(crate) fn count(small: &[i64], large: &[i64]) -> usize {
    elements(small.get(..split(small, large)).unwrap_or_default())
}

/// All of them, in the order of the elements. The shapes have the same rank, and no extent of `large` is the smaller.
pub(crate) fn runs(small: &[i64], large: &[i64]) -> impl Iterator<Item = Run> {
    let (outer, inner) = small.split_at(split(small, large));
    let length = elements(inner);
    let strides: Vec<usize> = (1..=outer.len()).map(|next| elements(large.get(next..).unwrap_or_default())).collect();
    let extents: Vec<usize> = outer.iter().copied().map(extent).collect();
    (0..elements(outer)).map(move |index| {
        let mut rest = index;
        let to = extents.iter().zip(&strides).rev().map(|(extent, stride)| {
            let place = rest % extent;
            rest /= extent;
            place * stride
        });
        Run { from: index * length, to: to.sum(), length }
    })
}

/// The last extent in which they differ: what stands behind it is whole, and of itself there is one piece.
fn split(small: &[i64], large: &[i64]) -> usize {
    small.iter().zip(large).rposition(|(small, large)| small != large).unwrap_or_default()
}

/// How many elements these extents have.
pub(crate) fn elements(extents: &[i64]) -> usize {
    extents.iter().copied().map(extent).fold(1, usize::saturating_mul)
}

/// The first extent; a scalar is one row.
pub(crate) fn rows(shape: &[i64]) -> usize {
    shape.first().copied().map_or(1, extent)
}

fn extent(extent: i64) -> usize {
    usize::try_from(extent).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(small: &[i64], large: &[i64], expected: &[(usize, usize, usize)]) {
        let found: Vec<_> = runs(small, large).map(|run| (run.from, run.to, run.length)).collect();
        assert_eq!(found, expected, "{small:?} in {large:?}");
        assert_eq!(count(small, large), expected.len(), "{small:?} in {large:?}");
    }

    #[test]
    fn rows_are_one_run() {
        check(&[3, 4], &[8, 4], &[(0, 0, 12)]);
        check(&[8, 4], &[8, 4], &[(0, 0, 32)]);
        check(&[], &[], &[(0, 0, 1)]);
        check(&[0, 4], &[8, 4], &[(0, 0, 0)]);
    }

    #[test]
    fn shorter_rows_are_a_run_each() {
        check(&[2, 3], &[4, 5], &[(0, 0, 3), (3, 5, 3)]);
        check(&[2, 2, 3, 2], &[2, 2, 4, 2], &[(0, 0, 6), (6, 8, 6), (12, 16, 6), (18, 24, 6)]);
        check(&[2, 1, 3], &[3, 2, 4], &[(0, 0, 3), (3, 8, 3)]);
        check(&[0, 3], &[4, 5], &[]);
    }
}
