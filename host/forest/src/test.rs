//! What an inner node asks of a row, in one form for all frameworks.
//!
//! Rows are 32-bit floats. `x <= t` with a 64-bit `t` is the same as `x < u` for the least 32-bit `u` above `t`, hence
//! one comparison serves all, without rounding anything that a row could tell apart.

use std::ops::Range;

/// An inner node's question; a row for which it holds goes left.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// The feature is below the bound. A NaN as bound stands for "above infinity": everything is below it.
    Below(f32),
    /// The feature, cut to a whole number, is in a set.
    Member {
        /// Words of the tree's sets, one bit per category.
        words: Range<usize>,
        /// Whether numbers between -1 and 0 count as 0; otherwise nothing below zero is in a set.
        truncates: bool,
    },
}

/// An inner node.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    pub feature: usize,
    pub test: Test,
    /// Where a row goes whose feature is missing.
    pub default_left: bool,
    /// Whether a feature that is almost zero is missing too, as LightGBM has it.
    pub zero_is_missing: bool,
    /// The left child; the right one follows it.
    pub left: usize,
}

/// LightGBM's bound for "almost zero".
pub(crate) const ZERO_MAX: f32 = 1e-35;

// === impl Test ===

impl Test {
    /// `x < threshold`.
    pub(crate) fn below(threshold: f64) -> Self {
        let nearest = threshold as f32;
        Self::Below(if f64::from(nearest) < threshold { nearest.next_up() } else { nearest })
    }

    /// `x <= threshold`.
    pub(crate) fn at_most(threshold: f64) -> Self {
        if threshold == f64::INFINITY {
            return Self::Below(f32::NAN);
        }
        let nearest = threshold as f32;
        let largest = if f64::from(nearest) > threshold { nearest.next_down() } else { nearest };
        Self::Below(largest.next_up())
    }
}

// === impl Split ===

impl Split {
    /// Whether a row with this value goes left; `words` are the tree's sets.
    pub fn goes_left(&self, value: f32, words: &[u32]) -> bool {
        if value.is_nan() || (self.zero_is_missing && value.abs() <= ZERO_MAX) {
            return self.default_left;
        }
        match &self.test {
            // Not `<`: a NaN as bound means that everything is below.
            Test::Below(bound) => value.partial_cmp(bound).is_none_or(std::cmp::Ordering::is_lt),
            Test::Member { words: range, truncates } => {
                is_member(value, words.get(range.clone()).unwrap_or_default(), *truncates)
            }
        }
    }
}

/// Whether the category that a value stands for is in a set.
pub(crate) fn is_member(value: f32, words: &[u32], truncates: bool) -> bool {
    let least = if truncates { value > -1.0 } else { value >= 0.0 };
    if !least {
        return false;
    }
    // Casting saturates, and what is too large is in no set.
    let category = value as usize;
    words.get(category / 32).is_some_and(|word| word >> (category % 32) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holds(test: Test, value: f32) -> bool {
        Split { feature: 0, test, default_left: false, zero_is_missing: false, left: 0 }.goes_left(value, &[])
    }

    fn edges(threshold: f64) -> Vec<f32> {
        let nearest = threshold as f32;
        vec![nearest, nearest.next_up(), nearest.next_down(), f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 0.0]
    }

    proptest! {
        #[test]
        fn a_bound_of_32_bits_decides_like_a_threshold_of_64(threshold in prop::num::f64::ANY) {
            prop_assume!(!threshold.is_nan());
            for value in edges(threshold).into_iter().filter(|value| !value.is_nan()) {
                prop_assert_eq!(holds(Test::at_most(threshold), value), f64::from(value) <= threshold, "{} <=", value);
                prop_assert_eq!(holds(Test::below(threshold), value), f64::from(value) < threshold, "{} <", value);
            }
        }
    }

    #[test]
    fn infinite_thresholds_decide_as_written() {
        for threshold in [f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, 0.0, -0.0, 1e-320] {
            for value in edges(threshold).into_iter().chain([f32::from_bits(1), -0.0]) {
                assert_eq!(
                    holds(Test::at_most(threshold), value),
                    f64::from(value) <= threshold,
                    "{value} <= {threshold}"
                );
                assert_eq!(holds(Test::below(threshold), value), f64::from(value) < threshold, "{value} < {threshold}");
            }
        }
    }

    #[test]
    fn categories_are_whole_numbers_from_zero() {
        let words = [0b1001];
        for (value, plain, truncating) in
            [(0.0, true, true), (-0.5, false, true), (-1.0, false, false), (3.9, true, true), (2.0, false, false)]
        {
            assert_eq!(is_member(value, &words, false), plain, "{value}");
            assert_eq!(is_member(value, &words, true), truncating, "{value}, truncated");
        }
        for value in [32.0, 1e30, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            assert!(!is_member(value, &words, true), "{value}");
        }
    }
}
