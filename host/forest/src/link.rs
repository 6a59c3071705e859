//! What is made of a row's sums: probabilities, counts, or nothing.

use crate::number::Number;

/// The function behind the sums; names in comments are Treelite's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Link {
    /// `identity`, `identity_multiclass`.
    Identity,
    /// `sigmoid`, and `multiclass_ova` for several classes: each sum by itself.
    Sigmoid { alpha: f64 },
    /// `softmax`: over the classes of a target.
    Softmax,
    /// `exponential`.
    Exponential,
    /// `exponential_standard_ratio`: of isolation forests.
    Exp2Ratio { ratio: f64 },
    /// `logarithm_one_plus_exp`.
    LogOnePlusExp,
    /// `hinge`: 1 above zero, else 0.
    Hinge,
    /// `signed_square`.
    SignedSquare,
}

// === impl Link ===

impl Link {
    /// Applies the function in place to the sums of one row, `classes` per target.
    pub(crate) fn apply<N: Number>(self, sums: &mut [N], classes: usize) {
        match self {
            Self::Identity => {}
            Self::Softmax => sums.chunks_mut(classes.max(1)).for_each(softmax),
            Self::Sigmoid { alpha } => each(sums, |sum| N::ONE / (N::ONE + sum.negated_product(alpha).exp())),
            Self::Exponential => each(sums, N::exp),
            Self::Exp2Ratio { ratio } => each(sums, |sum| sum.negated_product(1.0 / ratio).exp2()),
            Self::LogOnePlusExp => each(sums, |sum| sum.exp().ln_1p()),
            Self::Hinge => each(sums, |sum| if sum > N::ZERO { N::ONE } else { N::ZERO }),
            Self::SignedSquare => each(sums, N::signed_square),
        }
    }
}

fn each<N: Number>(sums: &mut [N], function: impl Fn(N) -> N) {
    sums.iter_mut().for_each(|sum| *sum = function(*sum));
}

fn softmax<N: Number>(sums: &mut [N]) {
    let largest = sums.iter().copied().fold(None, |largest: Option<N>, sum| match largest {
        Some(largest) if largest >= sum => Some(largest),
        _ => Some(sum),
    });
    let Some(largest) = largest else { return };
    let mut total = N::ZERO;
    for sum in sums.iter_mut() {
        *sum = (*sum + largest.negated_product(1.0)).exp();
        total += *sum;
    }
    sums.iter_mut().for_each(|sum| *sum = *sum / total);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(link: Link, sums: &[f64], classes: usize, expected: &[f64]) {
        let mut double = sums.to_vec();
        link.apply(&mut double, classes);
        let mut single: Vec<f32> = sums.iter().map(|sum| *sum as f32).collect();
        link.apply(&mut single, classes);
        for ((double, single), expected) in double.iter().zip(&single).zip(expected) {
            assert!((double - expected).abs() < 1e-12, "{link:?} of {sums:?} is {double}, expected {expected}");
            assert!((f64::from(*single) - expected).abs() < 1e-6, "{link:?} of {sums:?} is {single} in single");
        }
    }

    #[test]
    fn functions_are_what_their_names_say() {
        check(Link::Identity, &[-1.5], 1, &[-1.5]);
        check(Link::Sigmoid { alpha: 2.0 }, &[0.0, 0.5], 1, &[0.5, 1.0 / (1.0 + (-1.0_f64).exp())]);
        check(Link::Exponential, &[1.0], 1, &[std::f64::consts::E]);
        check(Link::Exp2Ratio { ratio: 4.0 }, &[8.0], 1, &[0.25]);
        check(Link::LogOnePlusExp, &[0.0], 1, &[std::f64::consts::LN_2]);
        check(Link::Hinge, &[-0.1, 0.0, 0.1], 1, &[0.0, 0.0, 1.0]);
        check(Link::SignedSquare, &[-3.0, 2.0], 1, &[-9.0, 4.0]);
    }

    #[test]
    fn softmax_is_per_target_and_does_not_overflow() {
        check(Link::Softmax, &[1000.0, 1000.0, -50.0, -50.0], 2, &[0.5; 4]);
    }
}
