//! Non-maximum suppression: of boxes that show the same thing, the one with the highest score.
//!
//! Greedy, as torchvision's `nms`: boxes are taken by score, and each drops those behind it that overlap it by more than
//! the threshold. Cost: in the worst case every pair of the boxes that are looked at, two nanoseconds each.

use nereid_tensor::{DataType, Tensor};

use crate::{
    Budget, OperationError,
    number::{Number, as_f32},
    output::Output,
};

const OPERATION: &str = "non-maximum-suppression";

/// Boxes with a score above the threshold that are looked at, the best ones. Detectors propose some ten thousand, most of
/// them far below any threshold; the worst case is 100 million pairs, a quarter of a second.
const CANDIDATES_MAX: usize = 20_000;

/// What the four numbers of a box are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BoxForm {
    /// Left, top, right, bottom.
    #[default]
    Corners,
    /// The middle, across and down, then width and height.
    Centre,
    /// Left, top, width, height.
    TopLeft,
}

/// Which boxes are kept.
#[derive(Clone, Debug)]
pub struct Suppression<'a> {
    /// A number for each box; only boxes of the same number drop each other.
    pub classes: Option<&'a Tensor>,
    /// Intersection over union, 0 to 1, above which the box with the lower score goes.
    pub overlap_max: f32,
    /// Boxes below it go; without one all are candidates.
    pub score_min: Option<f32>,
    /// As many as are kept, the best ones; without one all.
    pub kept_max: Option<u32>,
    pub form: BoxForm,
}

struct Candidate {
    number: i64,
    class: f64,
    score: f32,
    corners: [f32; 4],
    area: f32,
}

/// The numbers of the boxes that are kept, by falling score, INT64.
///
/// `boxes` is `[n, 4]`, `scores` and the classes have `n` elements.
///
/// # Errors
/// Shapes or types that do not fit, a threshold outside of 0 to 1, or too many boxes above the score.
pub fn suppress(
    boxes: &Tensor,
    scores: &Tensor,
    suppression: &Suppression<'_>,
    budget: Budget,
) -> Result<Tensor, OperationError> {
    check(boxes, scores, suppression)?;
    let mut candidates = candidates(boxes, scores, suppression, budget)?;
    if candidates.len() > CANDIDATES_MAX {
        let found = candidates.len();
        let text =
            format!("{found} boxes have a score that counts, the limit is {CANDIDATES_MAX}: set a minimum score");
        return Err(OperationError::limit(OPERATION, text));
    }
    candidates.sort_by(|left, right| right.score.key().cmp(&left.score.key()).then(left.number.cmp(&right.number)));
    let kept = keep_best(&candidates, suppression);
    let mut output = Output::new(OPERATION, DataType::Int64, [kept.len() as u64].into(), budget)?;
    output.elements::<i64>().copy_from_slice(&kept);
    output.finish()
}

fn check(boxes: &Tensor, scores: &Tensor, suppression: &Suppression<'_>) -> Result<(), OperationError> {
    let [count, 4] = **boxes.shape() else {
        let text = format!("boxes have shape {}, expected [n,4]", boxes.shape());
        return Err(OperationError::argument(OPERATION, text));
    };
    let counted = [Some(("scores", scores)), suppression.classes.map(|classes| ("classes", classes))];
    for (argument, tensor) in counted.into_iter().flatten() {
        if tensor.element_count() != count {
            let text =
                format!("{argument} have shape {}, expected {count} elements as there are boxes", tensor.shape());
            return Err(OperationError::argument(OPERATION, text));
        }
    }
    if !(0.0..=1.0).contains(&suppression.overlap_max) {
        let text = format!("the overlap is {}, expected 0 to 1", suppression.overlap_max);
        return Err(OperationError::argument(OPERATION, text));
    }
    Ok(())
}

fn candidates(
    boxes: &Tensor,
    scores: &Tensor,
    suppression: &Suppression<'_>,
    budget: Budget,
) -> Result<Vec<Candidate>, OperationError> {
    budget.check(OPERATION, scores.element_count().checked_mul(size_of::<Candidate>() as u64 * 2))?;
    let boxes = as_f32(OPERATION, "boxes", boxes, budget)?;
    let scores = as_f32(OPERATION, "scores", scores, budget)?;
    let classes = match suppression.classes {
        Some(classes) => as_f64(classes, budget)?,
        None => vec![0.0; scores.len()],
    };
    let rows = boxes.as_chunks::<4>().0.iter().zip(scores.iter()).zip(classes);
    let counts = |score: f32| suppression.score_min.is_none_or(|least| score >= least);
    let candidate = |(number, ((numbers, score), class)): (i64, ((&[f32; 4], &f32), f64))| {
        counts(*score).then(|| Candidate::new(number, class, *score, suppression.form.corners(*numbers)))
    };
    Ok((0..).zip(rows).filter_map(candidate).collect())
}

/// Class numbers; those of 64 bits are told apart up to 2^53.
fn as_f64(tensor: &Tensor, budget: Budget) -> Result<Vec<f64>, OperationError> {
    let as_double = crate::cast(tensor, DataType::Fp64, crate::CastRules::default(), budget)?;
    Ok(crate::number::numbers(&as_double).into_owned())
}

fn keep_best(candidates: &[Candidate], suppression: &Suppression<'_>) -> Vec<i64> {
    let kept_max = suppression.kept_max.map_or(usize::MAX, |count| count as usize);
    let mut kept: Vec<&Candidate> = Vec::new();
    for candidate in candidates {
        if kept.len() >= kept_max {
            break;
        }
        let hides = |better: &&Candidate| {
            better.class == candidate.class && better.overlap(candidate) > suppression.overlap_max
        };
        if !kept.iter().any(hides) {
            kept.push(candidate);
        }
    }
    kept.iter().map(|candidate| candidate.number).collect()
}

// === impl BoxForm ===

impl BoxForm {
    fn corners(self, [a, b, c, d]: [f32; 4]) -> [f32; 4] {
        match self {
            Self::Corners => [a, b, c, d],
            Self::Centre => [a - c / 2.0, b - d / 2.0, a + c / 2.0, b + d / 2.0],
            Self::TopLeft => [a, b, a + c, b + d],
        }
    }
}

// === impl Candidate ===

impl Candidate {
    fn new(number: i64, class: f64, score: f32, corners: [f32; 4]) -> Self {
        let [left, top, right, bottom] = corners;
        Self { number, class, score, corners, area: (right - left) * (bottom - top) }
    }

    /// Intersection over union; of boxes without area it is NaN, which is above no threshold.
    fn overlap(&self, other: &Self) -> f32 {
        let ([left, top, right, bottom], [l, t, r, b]) = (self.corners, other.corners);
        let width = (right.min(r) - left.max(l)).max(0.0);
        let height = (bottom.min(b) - top.max(t)).max(0.0);
        let common = width * height;
        common / (self.area + other.area - common)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Suppression<'static> =
        Suppression { classes: None, overlap_max: 0.5, score_min: None, kept_max: None, form: BoxForm::Corners };

    fn run(boxes: &[[f32; 4]], scores: &[f32], suppression: &Suppression<'_>) -> Result<Vec<i64>, OperationError> {
        let count = boxes.len() as u64;
        let boxes = Tensor::from_elements([count, 4], boxes.as_flattened()).unwrap();
        let scores = Tensor::from_elements([scores.len() as u64], scores).unwrap();
        let kept = suppress(&boxes, &scores, suppression, Budget::new(1 << 24))?;
        Ok(kept.elements::<i64>().unwrap().to_vec())
    }

    #[test]
    fn the_best_of_boxes_that_overlap_is_kept() {
        let boxes = [[0.0, 0.0, 10.0, 10.0], [1.0, 0.0, 11.0, 10.0], [20.0, 0.0, 30.0, 10.0], [0.0, 0.0, 0.0, 0.0]];
        let scores = [0.5, 0.9, 0.3, 0.1];
        assert_eq!(run(&boxes, &scores, &PLAIN).unwrap(), [1, 2, 3]);
        assert_eq!(run(&boxes, &scores, &Suppression { overlap_max: 0.9, ..PLAIN }).unwrap(), [1, 0, 2, 3]);
        assert_eq!(run(&boxes, &scores, &Suppression { score_min: Some(0.3), ..PLAIN }).unwrap(), [1, 2]);
        assert_eq!(run(&boxes, &scores, &Suppression { kept_max: Some(1), ..PLAIN }).unwrap(), [1]);
    }

    #[test]
    fn boxes_of_different_classes_leave_each_other_alone() {
        let boxes = [[0.0, 0.0, 10.0, 10.0]; 3];
        let classes = Tensor::from_elements([3], &[7_i64, 8, 7]).unwrap();
        let found = run(&boxes, &[0.1, 0.2, 0.3], &Suppression { classes: Some(&classes), ..PLAIN }).unwrap();
        assert_eq!(found, [2, 1]);
    }

    #[test]
    fn every_form_describes_the_same_boxes() {
        let centre = [[5.0, 5.0, 10.0, 10.0], [6.0, 5.0, 10.0, 10.0]];
        assert_eq!(run(&centre, &[0.5, 0.9], &Suppression { form: BoxForm::Centre, ..PLAIN }).unwrap(), [1]);
        let sized = [[0.0, 0.0, 10.0, 10.0], [9.0, 0.0, 10.0, 10.0]];
        assert_eq!(run(&sized, &[0.5, 0.9], &Suppression { form: BoxForm::TopLeft, ..PLAIN }).unwrap(), [1, 0]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let error = run(&[[0.0; 4]], &[0.1, 0.2], &PLAIN).unwrap_err().to_string();
        assert_eq!(error, "non-maximum-suppression: scores have shape [2], expected 1 elements as there are boxes");
        assert!(run(&[[0.0; 4]], &[0.1], &Suppression { overlap_max: f32::NAN, ..PLAIN }).is_err());
        let many = vec![[0.0; 4]; CANDIDATES_MAX + 1];
        let error = run(&many, &vec![0.5; many.len()], &PLAIN).unwrap_err();
        assert_eq!(error.fault(), crate::Fault::Limit);
    }
}
