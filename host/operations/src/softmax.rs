//! Scores to probabilities. The result is FP32; sums are made in FP64.

use nereid_tensor::{DataType, Tensor};

use crate::{Budget, OperationError, axis::Axis, number::as_f32, output::Output};

const OPERATION: &str = "softmax";

/// `exp(x) / sum(exp(x))` along an axis, computed from the largest score down so that nothing overflows.
///
/// A score of infinity has no probability that makes sense: the lane becomes NaN, as elsewhere.
///
/// # Errors
/// BYTES, or no such axis.
pub fn softmax(tensor: &Tensor, axis: i32, budget: Budget) -> Result<Tensor, OperationError> {
    let axis = Axis::of(OPERATION, tensor, axis)?;
    let mut output = Output::new(OPERATION, DataType::Fp32, tensor.shape().clone(), budget)?;
    let scores = as_f32(OPERATION, "the tensor", tensor, budget)?;
    let target = output.elements::<f32>();
    if axis.inner == 1 {
        for (scores, target) in scores.chunks(axis.extent.max(1)).zip(target.chunks_mut(axis.extent.max(1))) {
            lane(scores, target);
        }
    } else {
        let (mut from, mut to) = (Vec::new(), vec![0.0; axis.extent]);
        for (number, scores) in axis.lanes(&scores).enumerate() {
            from.clear();
            from.extend(scores);
            lane(&from, &mut to);
            let start = number / axis.inner * axis.inner * axis.extent + number % axis.inner;
            let places = target.get_mut(start..).unwrap_or_default().iter_mut().step_by(axis.inner);
            places.zip(&to).for_each(|(place, value)| *place = *value);
        }
    }
    output.finish()
}

fn lane(scores: &[f32], target: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0_f64;
    for (score, target) in scores.iter().zip(&mut *target) {
        *target = (score - largest).exp();
        sum += f64::from(*target);
    }
    target.iter_mut().for_each(|value| *value = (f64::from(*value) / sum) as f32);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(shape: [u64; 2], values: &[f32], axis: i32) -> Vec<f32> {
        let tensor = Tensor::from_elements(shape, values).unwrap();
        softmax(&tensor, axis, Budget::new(1 << 20)).unwrap().elements::<f32>().unwrap().to_vec()
    }

    #[test]
    fn lanes_add_up_to_one_along_either_axis() {
        let values = [1000.0, 1000.0, -1000.0, 0.0];
        assert_eq!(run([2, 2], &values, 1), [0.5, 0.5, 0.0, 1.0]);
        assert_eq!(run([2, 2], &values, 0), [1.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn nan_and_infinity_spoil_their_own_lane_alone() {
        let found = run([3, 2], &[f32::NAN, 0.0, f32::INFINITY, 0.0, 0.0, 0.0], 1);
        assert!(found[0].is_nan() && found[2].is_nan());
        assert_eq!(found[4..], [0.5, 0.5]);
    }
}
