//! Several tensors to one, and one to several. Elements are copied as they are; BYTES too.

use nereid_tensor::{DataType, Shape, Tensor};

use crate::{
    Budget, OperationError,
    axis::{Axis, no_axis, resolve},
    number::numbers,
    output::{Output, blobs},
};

/// Tensors one behind the other along an axis that they have.
///
/// # Errors
/// No tensors, types that differ, shapes that differ elsewhere than along the axis, or no such axis.
pub fn concat(tensors: &[Tensor], axis: i32, budget: Budget) -> Result<Tensor, OperationError> {
    join("concat", tensors, axis, budget)
}

/// Tensors of one shape one behind the other along a new axis: images to a batch with axis 0.
///
/// # Errors
/// No tensors, types or shapes that differ, or no such axis in the result.
pub fn stack(tensors: &[Tensor], axis: i32, budget: Budget) -> Result<Tensor, OperationError> {
    const OPERATION: &str = "stack";
    let first = tensors.first().ok_or_else(|| nothing(OPERATION))?;
    let shape = first.shape();
    let index = resolve(axis, shape.len() + 1).ok_or_else(|| no_axis(OPERATION, axis, shape))?;
    let mut raised = Vec::with_capacity(tensors.len());
    for (number, tensor) in tensors.iter().enumerate() {
        if tensor.shape() != shape {
            let text = format!("tensor {number} has shape {}, expected {shape}, that of tensor 0", tensor.shape());
            return Err(OperationError::argument(OPERATION, text));
        }
        let (before, after) = (shape.iter().take(index), shape.iter().skip(index));
        let with_axis: Shape = before.copied().chain([1]).chain(after.copied()).collect();
        raised.push(tensor.reshaped(with_axis).map_err(|error| OperationError::argument(OPERATION, error))?);
    }
    join(OPERATION, &raised, i32::try_from(index).unwrap_or(i32::MAX), budget)
}

/// One tensor as several along an axis, as long as `extents` says. Along the outermost axis nothing is copied.
///
/// # Errors
/// The extents do not add up to the axis', or no such axis.
pub fn split(tensor: &Tensor, extents: &[u32], axis: i32, budget: Budget) -> Result<Vec<Tensor>, OperationError> {
    const OPERATION: &str = "split";
    let index = resolve(axis, tensor.shape().len()).ok_or_else(|| no_axis(OPERATION, axis, tensor.shape()))?;
    let extent = tensor.shape().get(index).copied().unwrap_or_default();
    let total: u64 = extents.iter().map(|extent| u64::from(*extent)).sum();
    if total != extent {
        let text = format!("the extents add up to {total}, expected {extent}, the extent of axis {index}");
        return Err(OperationError::argument(OPERATION, text));
    }
    let whole = Axis::of(OPERATION, tensor, axis)?;
    if whole.outer != 1 || tensor.data_type() == DataType::Bytes {
        budget.check(OPERATION, Some(tensor.byte_size() as u64))?;
    }
    let mut start = 0;
    let parts = extents.iter().map(|extent| {
        let part = Part { start, extent: *extent as usize };
        start += part.extent;
        part.of(tensor, whole, budget)
    });
    parts.collect()
}

fn join(operation: &'static str, tensors: &[Tensor], axis: i32, budget: Budget) -> Result<Tensor, OperationError> {
    let first = tensors.first().ok_or_else(|| nothing(operation))?;
    let index = resolve(axis, first.shape().len()).ok_or_else(|| no_axis(operation, axis, first.shape()))?;
    let shape = joined_shape(operation, tensors, index)?;
    let times = |product: u64, extent: &u64| product.saturating_mul(*extent);
    let inner = shape.iter().skip(index + 1).fold(1, times);
    // How many elements of each tensor follow each other in the result.
    let runs = tensors.iter().map(|tensor| times(inner, tensor.shape().get(index).unwrap_or(&0)));
    let runs: Vec<usize> = runs.map(|run| usize::try_from(run).unwrap_or_default()).collect();
    let Some(size) = first.data_type().size_bytes() else {
        let elements: Vec<Vec<&[u8]>> = tensors.iter().map(|tensor| tensor.byte_strings().collect()).collect();
        let sources: Vec<&[&[u8]]> = elements.iter().map(Vec::as_slice).collect();
        return blobs(operation, shape, &interleaved(&sources, &runs), budget);
    };
    let mut output = Output::new(operation, first.data_type(), shape, budget)?;
    let sources: Vec<&[u8]> = tensors.iter().map(|tensor| tensor.buffer().as_slice()).collect();
    let runs: Vec<usize> = runs.into_iter().map(|run| run.saturating_mul(size)).collect();
    let mut rest = output.elements::<u8>();
    for run in interleaving(&sources, &runs) {
        let Some((target, behind)) = std::mem::take(&mut rest).split_at_mut_checked(run.len()) else { break };
        target.copy_from_slice(run);
        rest = behind;
    }
    output.finish()
}

/// The shape of the result; every tensor must have the type of the first, and its shape but for the axis.
fn joined_shape(operation: &'static str, tensors: &[Tensor], index: usize) -> Result<Shape, OperationError> {
    let Some(first) = tensors.first() else { return Err(nothing(operation)) };
    let mut extent = 0_u64;
    for (number, tensor) in tensors.iter().enumerate() {
        if tensor.data_type() != first.data_type() {
            let (found, expected) = (tensor.data_type(), first.data_type());
            let text = format!("tensor {number} is of {found}, expected {expected}, the type of tensor 0");
            return Err(OperationError::argument(operation, text));
        }
        let (found, expected) = (tensor.shape(), first.shape());
        let is_same = |(dimension, (left, right)): (usize, (&u64, &u64))| dimension == index || left == right;
        if found.len() != expected.len() || !found.iter().zip(expected.iter()).enumerate().all(is_same) {
            let text = format!("tensor {number} has shape {found}, expected {expected} in all axes but axis {index}");
            return Err(OperationError::argument(operation, text));
        }
        extent = extent.saturating_add(found.get(index).copied().unwrap_or_default());
    }
    let (before, after) = (first.shape().iter().take(index), first.shape().iter().skip(index + 1));
    Ok(before.copied().chain([extent]).chain(after.copied()).collect())
}

/// The first run of each source, then the second of each, and so on.
fn interleaving<'a, T>(sources: &'a [&'a [T]], runs: &'a [usize]) -> impl Iterator<Item = &'a [T]> {
    let mut rests: Vec<(&[T], usize)> = sources.iter().copied().zip(runs.iter().copied()).collect();
    let rounds = rests.iter().find(|(_, run)| *run > 0).map_or(0, |(source, run)| source.len() / run);
    (0..rounds).flat_map(move |_| {
        let next = rests.iter_mut().map(|(rest, run)| {
            let (front, behind) = rest.split_at_checked(*run).unwrap_or_default();
            *rest = behind;
            front
        });
        next.collect::<Vec<_>>()
    })
}

fn interleaved<'a>(sources: &[&[&'a [u8]]], runs: &[usize]) -> Vec<&'a [u8]> {
    interleaving(sources, runs).flatten().copied().collect()
}

/// A part of an axis.
#[derive(Clone, Copy)]
struct Part {
    start: usize,
    extent: usize,
}

// === impl Part ===

impl Part {
    fn of(self, tensor: &Tensor, axis: Axis, budget: Budget) -> Result<Tensor, OperationError> {
        const OPERATION: &str = "split";
        let shape = axis.replaced(tensor.shape(), Some(self.extent as u64));
        let (from, length) = (self.start * axis.inner, self.extent * axis.inner);
        let Some(size) = tensor.data_type().size_bytes() else {
            let elements: Vec<&[u8]> = tensor.byte_strings().collect();
            return blobs(OPERATION, shape, &Self::rows(&elements, axis, from, length), budget);
        };
        if axis.outer == 1 {
            let view = tensor.buffer().slice(from * size..(from + length) * size).unwrap_or_default();
            return Tensor::new(tensor.data_type(), shape, view)
                .map_err(|error| OperationError::argument(OPERATION, error));
        }
        let mut output = Output::new(OPERATION, tensor.data_type(), shape, budget)?;
        let bytes = numbers::<u8>(tensor);
        let scaled = Axis { inner: axis.inner * size, ..axis };
        let rows = Self::rows(&bytes, scaled, from * size, length * size);
        output.elements::<u8>().iter_mut().zip(rows).for_each(|(target, byte)| *target = byte);
        output.finish()
    }

    /// `length` elements of every outer block, from element `from` of the block on.
    fn rows<T: Copy>(elements: &[T], axis: Axis, from: usize, length: usize) -> Vec<T> {
        let blocks = elements.chunks((axis.extent * axis.inner).max(1));
        blocks.flat_map(|block| block.get(from..from + length).unwrap_or_default()).copied().collect()
    }
}

fn nothing(operation: &'static str) -> OperationError {
    OperationError::argument(operation, "there are no tensors, expected one or more")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: fn() -> Budget = || Budget::new(1 << 20);

    fn numbered(shape: [u64; 2], first: i16) -> Tensor {
        let count = shape.iter().product::<u64>() as i16;
        Tensor::from_elements(shape, &(first..first + count).collect::<Vec<_>>()).unwrap()
    }

    fn values(tensor: &Tensor) -> Vec<i16> {
        tensor.elements::<i16>().unwrap().to_vec()
    }

    #[test]
    fn tensors_are_joined_along_either_axis_and_split_again() {
        let (left, right) = (numbered([2, 2], 0), numbered([2, 1], 10));
        let joined = concat(&[left.clone(), right.clone()], -1, BUDGET()).unwrap();
        assert_eq!((joined.shape().to_vec(), values(&joined)), (vec![2, 3], vec![0, 1, 10, 2, 3, 11]));
        let parts = split(&joined, &[2, 1], 1, BUDGET()).unwrap();
        assert_eq!((values(&parts[0]), values(&parts[1])), (values(&left), values(&right)));
        let rows = concat(&[left, numbered([1, 2], 5)], 0, BUDGET()).unwrap();
        assert_eq!((rows.shape().to_vec(), values(&rows)), (vec![3, 2], vec![0, 1, 2, 3, 5, 6]));
    }

    #[test]
    fn splitting_along_the_outermost_axis_copies_nothing() {
        let whole = numbered([3, 2], 0);
        let parts = split(&whole, &[1, 0, 2], 0, Budget::new(0)).unwrap();
        assert_eq!((values(&parts[2]), parts[1].shape().to_vec()), (vec![2, 3, 4, 5], vec![0, 2]));
        assert_eq!(parts[0].buffer().as_slice().as_ptr(), whole.buffer().as_slice().as_ptr());
        assert!(split(&whole, &[1, 1], 1, Budget::new(0)).is_err());
    }

    #[test]
    fn texts_are_joined_and_split_like_numbers() {
        let words = |words: &[&str]| Tensor::from_byte_strings([2, words.len() as u64 / 2], words).unwrap();
        let joined = concat(&[words(&["a", "b"]), words(&["c", "dd", "", "f"])], 1, BUDGET()).unwrap();
        let expected: [&[u8]; 6] = [b"a", b"c", b"dd", b"b", b"", b"f"];
        assert_eq!(joined.byte_strings().collect::<Vec<_>>(), expected);
        let parts = split(&joined, &[1, 2], 1, BUDGET()).unwrap();
        assert_eq!(parts[1].byte_strings().collect::<Vec<_>>(), [b"c".as_slice(), b"dd", b"", b"f"]);
    }

    #[test]
    fn stacking_makes_a_new_axis_anywhere() {
        let (left, right) = (numbered([1, 2], 0), numbered([1, 2], 5));
        let batch = stack(&[left.clone(), right.clone()], 0, BUDGET()).unwrap();
        assert_eq!((batch.shape().to_vec(), values(&batch)), (vec![2, 1, 2], vec![0, 1, 5, 6]));
        let inner = stack(&[left.clone(), right], -1, BUDGET()).unwrap();
        assert_eq!((inner.shape().to_vec(), values(&inner)), (vec![1, 2, 2], vec![0, 5, 1, 6]));
        assert!(stack(&[left], 3, BUDGET()).is_err());
    }

    #[test]
    fn what_does_not_fit_together_is_named() {
        let error = |tensors: &[Tensor]| concat(tensors, 0, BUDGET()).unwrap_err().to_string();
        let texts = Tensor::from_byte_strings([2, 2], &["", "", "", ""]).unwrap();
        let found = error(&[numbered([2, 2], 0), texts]);
        assert_eq!(found, "concat: tensor 1 is of BYTES, expected INT16, the type of tensor 0");
        let found = error(&[numbered([2, 2], 0), numbered([2, 3], 0)]);
        assert_eq!(found, "concat: tensor 1 has shape [2,3], expected [2,2] in all axes but axis 0");
        assert_eq!(error(&[]), "concat: there are no tensors, expected one or more");
        let found = split(&numbered([2, 2], 0), &[1, 2], 0, BUDGET()).unwrap_err();
        assert_eq!(found.to_string(), "split: the extents add up to 3, expected 2, the extent of axis 0");
    }
}
