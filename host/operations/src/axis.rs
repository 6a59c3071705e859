//! One dimension of a shape, with what lies outside and inside of it.

use nereid_tensor::{Shape, Tensor};

use crate::OperationError;

/// A shape as `outer × extent × inner`, the extent being that of one dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    /// Which dimension.
    pub(crate) index: usize,
    pub(crate) outer: usize,
    pub(crate) extent: usize,
    pub(crate) inner: usize,
}

// === impl Axis ===

impl Axis {
    /// Dimension number `axis` of the tensor; negative numbers count from the end, -1 is the innermost.
    pub(crate) fn of(operation: &'static str, tensor: &Tensor, axis: i32) -> Result<Self, OperationError> {
        let shape = tensor.shape();
        let index = resolve(axis, shape.len()).ok_or_else(|| no_axis(operation, axis, shape))?;
        let product = |part: Option<&[u64]>| {
            let product = part.unwrap_or_default().iter().map(|extent| usize::try_from(*extent).unwrap_or(0));
            product.product::<usize>()
        };
        if tensor.element_count() == 0 {
            // A neighbour may be larger than can be multiplied; nothing is walked anyway.
            return Ok(Self { index, outer: 0, extent: 0, inner: 0 });
        }
        Ok(Self {
            index,
            outer: product(shape.get(..index)),
            extent: product(shape.get(index..=index)),
            inner: product(shape.get(index + 1..)),
        })
    }

    /// The elements along the axis, one lane after the other in row-major order of the rest.
    pub(crate) fn lanes<'a, T>(&self, elements: &'a [T]) -> impl Iterator<Item = impl Iterator<Item = &'a T>> {
        let Self { outer, extent, inner, .. } = *self;
        (0..outer).flat_map(move |block| {
            let block = elements.get(block * extent * inner..).unwrap_or_default();
            (0..inner).map(move |lane| block.get(lane..).unwrap_or_default().iter().step_by(inner).take(extent))
        })
    }

    /// The shape without this dimension, or with another extent in it.
    pub(crate) fn replaced(&self, shape: &Shape, extent: Option<u64>) -> Shape {
        let (before, after) = (shape.iter().take(self.index), shape.iter().skip(self.index + 1));
        before.copied().chain(extent).chain(after.copied()).collect()
    }
}

/// The dimension's number from the outside.
pub(crate) fn resolve(axis: i32, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let index = if axis < 0 { i64::from(axis) + rank } else { i64::from(axis) };
    (0..rank).contains(&index).then_some(usize::try_from(index).ok()?)
}

pub(crate) fn no_axis(operation: &'static str, axis: i32, shape: &Shape) -> OperationError {
    OperationError::argument(operation, format_args!("there is no axis {axis} in a tensor of shape {shape}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(shape: [u64; 3], axis: i32) -> Vec<Vec<u8>> {
        let count = shape.iter().product::<u64>() as u8;
        let elements: Vec<u8> = (0..count).collect();
        let tensor = Tensor::from_elements(shape, &elements).unwrap();
        let axis = Axis::of("x", &tensor, axis).unwrap();
        axis.lanes(&elements).map(|lane| lane.copied().collect()).collect()
    }

    #[test]
    fn lanes_run_along_the_axis_wherever_it_stands() {
        assert_eq!(lanes([1, 2, 3], 2), [[0, 1, 2], [3, 4, 5]]);
        assert_eq!(lanes([1, 2, 3], -2), [[0, 3], [1, 4], [2, 5]]);
        assert_eq!(lanes([2, 1, 2], 0), [[0, 2], [1, 3]]);
        assert_eq!(lanes([2, 0, 2], 0), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn an_axis_that_is_not_there_is_refused() {
        let tensor = Tensor::from_elements([2, 1], &[1_u8, 2]).unwrap();
        for axis in [2, -3, i32::MIN, i32::MAX] {
            let error = Axis::of("softmax", &tensor, axis).unwrap_err();
            assert_eq!(error.to_string(), format!("softmax: there is no axis {axis} in a tensor of shape [2,1]"));
        }
    }
}
