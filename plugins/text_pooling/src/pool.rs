//! One vector of many, and its length made one. Nothing here asks the host.
//!
//! Sums are kept in 64 bits, so that they do not depend on how many rows there are.

use std::ops::Range;

use nereid_sdk::Error;

/// Below it a length counts as it, as in `torch.nn.functional.normalize`: zeroes stay zeroes.
const NORM_MIN: f64 = 1e-12;

/// What becomes of the vectors of a text's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The largest of them, number by number.
    Max,
    /// The first one, `[CLS]` in models that are trained so.
    Cls,
    /// The last one, which has seen all others in models that read from left to right.
    Last,
}

/// `[texts, length, width]`, if `vectors` is that and `mask` `[texts, length]`.
///
/// # Errors
/// They are other shapes.
pub fn check_shapes(vectors: &[u64], mask: &[u64]) -> Result<[usize; 3], Error> {
    match (vectors, mask) {
        (&[texts, length, width], &[rows, columns]) if (texts, length) == (rows, columns) => {
            Ok([usize::try_from(texts)?, usize::try_from(length)?, usize::try_from(width)?])
        }
        _ => Err(Error::invalid_argument(format_args!(
            "input 'last_hidden_state' has shape {vectors:?} and 'attention_mask' {mask:?}, \
             expected [n, length, width] and [n, length]"
        ))),
    }
}

/// Makes the length one.
pub fn normalise(vector: &mut [f32]) {
    let norm = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt().max(NORM_MIN);
    for value in vector {
        *value = (f64::from(*value) / norm) as f32;
    }
}

// === impl Pooling ===

impl Pooling {
    /// What the parameter `pooling` says; the mean where it says nothing.
    ///
    /// # Errors
    /// Another word.
    pub fn parse(setting: Option<&str>) -> Result<Self, Error> {
        match setting.map(str::trim) {
            None | Some("mean") => Ok(Self::Mean),
            Some("max") => Ok(Self::Max),
            Some("cls") => Ok(Self::Cls),
            Some("last") => Ok(Self::Last),
            Some(other) => Err(Error::internal(format_args!(
                "parameter 'pooling' of config.pbtxt is '{other}', expected 'mean', 'max', 'cls' or 'last'"
            ))),
        }
    }

    /// Which vectors of a row must be read.
    pub fn needed(self, mask: &[i64]) -> Range<usize> {
        let is_token = |place: &i64| *place != 0;
        let (first, last) = (mask.iter().position(is_token), mask.iter().rposition(is_token));
        let (Some(first), Some(last)) = (first, last) else { return 0..0 };
        match self {
            Self::Mean | Self::Max => first..last + 1,
            Self::Cls => first..first + 1,
            Self::Last => last..last + 1,
        }
    }

    /// One vector of those that [`Self::needed`] says; `mask` is that of these. Zeroes where there is none.
    pub fn pool(self, vectors: &[f32], mask: &[i64], width: usize) -> Vec<f32> {
        let tokens = vectors.chunks_exact(width.max(1)).zip(mask).filter(|(_, place)| **place != 0);
        let tokens: Vec<&[f32]> = tokens.map(|(vector, _)| vector).collect();
        if tokens.is_empty() {
            return vec![0.0; width];
        }
        match self {
            Self::Max => largest(&tokens, width),
            Self::Mean | Self::Cls | Self::Last => mean(&tokens, width),
        }
    }
}

fn mean(tokens: &[&[f32]], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0; width];
    for vector in tokens {
        for (sum, value) in sums.iter_mut().zip(*vector) {
            *sum += f64::from(*value);
        }
    }
    sums.into_iter().map(|sum| (sum / tokens.len() as f64) as f32).collect()
}

/// A number that is none (NaN) is larger than all others, so that it is seen.
fn largest(tokens: &[&[f32]], width: usize) -> Vec<f32> {
    let mut largest = vec![f32::NEG_INFINITY; width];
    for vector in tokens {
        for (most, value) in largest.iter_mut().zip(*vector) {
            if *value > *most || value.is_nan() {
                *most = *value;
            }
        }
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    const VECTORS: [f32; 8] = [9.0, 9.0, 1.0, -4.0, 3.0, -2.0, 9.0, 9.0];

    /// From a whole row, as the plugin does it.
    fn pooled(pooling: Pooling, vectors: &[f32], mask: &[i64]) -> Vec<f32> {
        let needed = pooling.needed(mask);
        pooling.pool(&vectors[needed.start * 2..needed.end * 2], &mask[needed], 2)
    }

    #[test]
    fn padding_on_either_side_counts_for_nothing() {
        let mask = [0, 1, 1, 0];
        assert_eq!(pooled(Pooling::Mean, &VECTORS, &mask), [2.0, -3.0]);
        assert_eq!(pooled(Pooling::Max, &VECTORS, &mask), [3.0, -2.0]);
        assert_eq!(pooled(Pooling::Cls, &VECTORS, &mask), [1.0, -4.0]);
        assert_eq!(pooled(Pooling::Last, &VECTORS, &mask), [3.0, -2.0]);
    }

    #[test]
    fn holes_are_left_out() {
        assert_eq!(pooled(Pooling::Mean, &VECTORS, &[0, 1, 0, 1]), [5.0, 2.5]);
        assert_eq!(pooled(Pooling::Max, &VECTORS, &[0, 1, 1, 0]), [3.0, -2.0]);
    }

    #[test]
    fn only_what_is_needed_is_read() {
        let mask = [0, 1, 1, 1, 0];
        assert_eq!(Pooling::Mean.needed(&mask), 1..4);
        assert_eq!(Pooling::Cls.needed(&mask), 1..2);
        assert_eq!(Pooling::Last.needed(&mask), 3..4);
    }

    #[test]
    fn a_row_without_tokens_is_zeroes_and_stays_so() {
        for pooling in [Pooling::Mean, Pooling::Max, Pooling::Cls, Pooling::Last] {
            let mut nothing = pooled(pooling, &VECTORS, &[0; 4]);
            normalise(&mut nothing);
            assert_eq!(nothing, [0.0, 0.0], "{pooling:?}");
        }
        assert_eq!(Pooling::Mean.pool(&[], &[], 0), [] as [f32; 0]);
    }

    #[test]
    fn vectors_have_length_one() {
        let mut vector = [3.0, -4.0];
        normalise(&mut vector);
        assert_eq!(vector, [0.6, -0.8]);
        let mut large = [f32::MAX, 0.0];
        normalise(&mut large);
        assert_eq!(large, [1.0, 0.0], "squares of large numbers do not overflow");
    }

    #[test]
    fn what_is_no_number_is_not_hidden_by_one_that_is() {
        assert!(pooled(Pooling::Max, &[f32::NAN, 0.0, 7.0, 1.0], &[1, 1])[0].is_nan());
        assert!(pooled(Pooling::Max, &[7.0, 0.0, f32::NAN, 1.0], &[1, 1])[0].is_nan());
    }

    #[test]
    fn the_mean_is_taken_unless_said_otherwise() {
        assert_eq!(Pooling::parse(None), Ok(Pooling::Mean));
        assert_eq!(Pooling::parse(Some("cls ")), Ok(Pooling::Cls));
        assert!(
            Pooling::parse(Some("average")).unwrap_err().message().contains("is 'average', expected 'mean', 'max'")
        );
    }

    #[test]
    fn shapes_must_belong_together() {
        assert_eq!(check_shapes(&[2, 7, 64], &[2, 7]), Ok([2, 7, 64]));
        for (vectors, mask) in
            [(&[2, 7, 64][..], &[2, 6][..]), (&[2, 7], &[2, 7]), (&[2, 7, 64], &[3, 7]), (&[2, 7, 64], &[14])]
        {
            let error = check_shapes(vectors, mask).unwrap_err();
            assert!(error.message().contains("expected [n, length, width] and [n, length]"), "{error}");
        }
    }
}
