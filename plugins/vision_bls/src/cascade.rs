//! Which rows the first model is not sure of. Nothing here asks the host.

use nereid_sdk::Error;

/// Where the training script measured the cascade: `confidence_min` in `examples/vision/accuracy.json`.
pub const CONFIDENCE_MIN: f32 = 0.8;

/// `confidence_min`, if it is a probability.
///
/// # Errors
/// It is not between 0 and 1.
pub fn check_confidence(confidence_min: f32) -> Result<f32, Error> {
    if (0.0..=1.0).contains(&confidence_min) {
        return Ok(confidence_min);
    }
    Err(Error::internal(format_args!(
        "parameter 'confidence_min' of config.pbtxt is {confidence_min}, expected a probability between 0 and 1"
    )))
}

/// The rows whose likeliest class has a probability below `confidence_min`, in order. A row with a logit that is no
/// number is never sure.
pub fn unsure_rows(logits: &[f32], classes: usize, confidence_min: f32) -> Vec<usize> {
    let rows = logits.chunks_exact(classes.max(1)).enumerate();
    let unsure = rows.filter(|(_, row)| best_probability(row).is_nan() || best_probability(row) < confidence_min);
    unsure.map(|(row, _)| row).collect()
}

/// Puts the larger model's logits in the place of row `row`.
///
/// # Errors
/// The two models do not know the same classes.
pub fn replace_row(logits: &mut [f32], row: usize, classes: usize, new: &[f32]) -> Result<(), Error> {
    let found = new.len();
    match logits.chunks_exact_mut(classes.max(1)).nth(row) {
        Some(old) if found == classes => {
            old.copy_from_slice(new);
            Ok(())
        }
        _ => Err(Error::internal(format_args!(
            "the larger model gave {found} logits for one image, the smaller one {classes}: they must know the same classes"
        ))),
    }
}

/// Softmax of the largest: one over the sum of all, each less the largest.
fn best_probability(row: &[f32]) -> f32 {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    1.0 / row.iter().map(|value| (value - largest).exp()).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_below_the_threshold_are_unsure() {
        let logits = [0.0, 3.0_f32.ln(), 9.0, 0.0, 0.0, 0.0];
        assert_eq!(unsure_rows(&logits, 2, 0.8), [0, 2]);
        assert_eq!(unsure_rows(&logits, 2, 0.74), [2]);
        assert_eq!(unsure_rows(&logits, 2, 0.0), [0_usize; 0]);
    }

    #[test]
    fn a_logit_that_is_no_number_is_never_sure() {
        assert_eq!(unsure_rows(&[f32::NAN, 1.0, f32::INFINITY, 1.0], 2, 0.1), [0, 1]);
    }

    #[test]
    fn no_rows_and_no_classes_are_not_unsure() {
        assert_eq!(unsure_rows(&[], 10, 0.8), [0_usize; 0]);
        assert_eq!(unsure_rows(&[], 0, 0.8), [0_usize; 0]);
    }

    #[test]
    fn a_row_takes_the_larger_models_logits() {
        let mut logits = [1.0, 2.0, 3.0, 4.0];
        replace_row(&mut logits, 1, 2, &[7.0, 8.0]).unwrap();
        assert_eq!(logits, [1.0, 2.0, 7.0, 8.0]);
    }

    #[test]
    fn models_that_know_other_classes_are_told_apart() {
        let error = replace_row(&mut [0.0, 0.0], 0, 2, &[1.0]).unwrap_err();
        assert!(error.message().starts_with("the larger model gave 1 logits for one image, the smaller one 2"));
    }

    #[test]
    fn the_threshold_is_a_probability() {
        assert_eq!(check_confidence(0.8), Ok(0.8));
        assert!(check_confidence(80.0).unwrap_err().message().contains("is 80, expected a probability"));
        assert!(check_confidence(f32::NAN).is_err());
    }
}
