//! A frame of one value around a tensor: letterboxes, sequences brought to one length.

use nereid_tensor::{DataType, Shape, Tensor};

use crate::{
    Budget, OperationError,
    number::{Carrier, not_numbers},
    output::Output,
};

const OPERATION: &str = "pad";

/// How much is put around, dimension by dimension, outermost first.
#[derive(Clone, Debug)]
pub struct Padding<'a> {
    /// Elements in front; one number for each dimension.
    pub before: &'a [u32],
    /// Elements behind; one number for each dimension.
    pub after: &'a [u32],
    /// The value of the new elements, brought to the tensor's type as `cast` does.
    pub value: f64,
}

/// One dimension of the way, lengths in bytes.
struct Step {
    extent: usize,
    before: usize,
    /// What one place of this dimension holds, in the source and in the result.
    inner: (usize, usize),
}

/// The tensor with elements of one value around.
///
/// # Errors
/// BYTES, or another number of paddings than dimensions.
pub fn pad(tensor: &Tensor, padding: &Padding<'_>, budget: Budget) -> Result<Tensor, OperationError> {
    let shape = tensor.shape();
    for (argument, found) in [("before", padding.before), ("after", padding.after)] {
        if found.len() != shape.len() {
            let (found, expected) = (found.len(), shape.len());
            let text = format!("{argument} has {found} numbers, expected {expected}, one per dimension of {shape}");
            return Err(OperationError::argument(OPERATION, text));
        }
    }
    let sums = padding.before.iter().zip(padding.after).map(|(before, after)| u64::from(*before) + u64::from(*after));
    let padded: Shape = shape.iter().zip(sums).map(|(extent, sum)| extent.saturating_add(sum)).collect();
    let Some(size) = tensor.data_type().size_bytes() else {
        return Err(not_numbers(OPERATION, "the tensor"));
    };
    let mut output = Output::new(OPERATION, tensor.data_type(), padded.clone(), budget)?;
    let target = output.elements::<u8>();
    fill(tensor.data_type(), padding.value, target);
    if tensor.element_count() > 0 {
        let from = tensor.buffer().as_slice();
        copy(&steps(shape, &padded, padding.before, size), from, target);
    }
    output.finish()
}

fn fill(data_type: DataType, value: f64, target: &mut [u8]) {
    let mut element = [0_u64; 1];
    let element: &mut [u8] = bytemuck::cast_slice_mut(&mut element);
    let element = element.get_mut(..data_type.size_bytes().unwrap_or(1)).unwrap_or_default();
    f64::store(data_type, &[value], element);
    if element.iter().any(|byte| *byte != 0) {
        target.chunks_exact_mut(element.len()).for_each(|place| place.copy_from_slice(element));
    }
}

fn steps(shape: &Shape, padded: &Shape, before: &[u32], size: usize) -> Vec<Step> {
    let product = |extents: &[u64], from: usize| extents.iter().skip(from).product::<u64>() as usize;
    let step = |(index, (extent, before)): (usize, (&u64, &u32))| Step {
        extent: *extent as usize,
        before: *before as usize,
        inner: (product(shape, index + 1) * size, product(padded, index + 1) * size),
    };
    shape.iter().zip(before).enumerate().map(step).collect()
}

fn copy(steps: &[Step], from: &[u8], to: &mut [u8]) {
    let [step, inner @ ..] = steps else {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        return;
    };
    let start = step.before * step.inner.1;
    let target = to.get_mut(start..start + step.extent * step.inner.1).unwrap_or_default();
    if inner.is_empty() {
        target.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        return;
    }
    for (from, to) in from.chunks(step.inner.0.max(1)).zip(target.chunks_mut(step.inner.1.max(1))) {
        copy(inner, from, to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(shape: &[u64], padding: &Padding<'_>) -> Result<Tensor, OperationError> {
        let count = shape.iter().product::<u64>() as u8;
        let tensor = Tensor::from_elements(Shape::new(shape), &(1..=count).collect::<Vec<_>>()).unwrap();
        pad(&tensor, padding, Budget::new(1 << 20))
    }

    #[test]
    fn elements_keep_their_places_inside_the_frame() {
        let framed = run(&[2, 2], &Padding { before: &[1, 0], after: &[0, 2], value: 300.0 }).unwrap();
        assert_eq!(framed.shape().to_vec(), [3, 4]);
        let expected = [255, 255, 255, 255, 1, 2, 255, 255, 3, 4, 255, 255];
        assert_eq!(framed.elements::<u8>().unwrap().as_ref(), expected);
        let scalar = run(&[], &Padding { before: &[], after: &[], value: 0.0 }).unwrap();
        assert_eq!(scalar.elements::<u8>().unwrap().as_ref(), [1]);
        let nothing = run(&[2, 0], &Padding { before: &[0, 1], after: &[0, 0], value: 7.0 }).unwrap();
        assert_eq!(nothing.elements::<u8>().unwrap().as_ref(), [7, 7]);
    }

    #[test]
    fn a_frame_that_is_too_large_or_does_not_fit_is_refused() {
        let error = run(&[2, 2], &Padding { before: &[1], after: &[0, 0], value: 0.0 }).unwrap_err();
        assert_eq!(error.to_string(), "pad: before has 1 numbers, expected 2, one per dimension of [2,2]");
        let huge = [u32::MAX; 3];
        assert!(run(&[1, 1, 1], &Padding { before: &huge, after: &huge, value: 0.0 }).is_err());
    }
}
