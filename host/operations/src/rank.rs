//! The largest elements along an axis, and where they are.
//!
//! NaN ranks above everything, and of equal elements the first comes first: as NumPy's `argmax` has it, and the same
//! on every machine. Cost of `top_k`: one pass and a sort of `k`.

use nereid_tensor::{DataType, Tensor};

use crate::{
    Budget, OperationError,
    axis::Axis,
    number::{load_keys, not_numbers},
    output::Output,
};

/// What [`top_k`] finds.
#[derive(Clone, Debug)]
pub struct Ranked {
    /// The elements, the largest first; of the tensor's type.
    pub values: Tensor,
    /// Their places along the axis, INT64.
    pub indices: Tensor,
}

/// The place of the largest element along an axis, INT64; the axis goes.
///
/// # Errors
/// BYTES, no such axis, or an axis without elements.
pub fn argmax(tensor: &Tensor, axis: i32, budget: Budget) -> Result<Tensor, OperationError> {
    const OPERATION: &str = "argmax";
    let axis = non_empty(OPERATION, tensor, axis)?;
    let shape = axis.replaced(tensor.shape(), None);
    let mut output = Output::new(OPERATION, DataType::Int64, shape, budget)?;
    let keys = keys(OPERATION, tensor, budget)?;
    for (lane, place) in axis.lanes(&keys).zip(output.elements::<i64>()) {
        *place = largest(lane);
    }
    output.finish()
}

/// What the elements are ranked by.
fn keys(operation: &'static str, tensor: &Tensor, budget: Budget) -> Result<Vec<u64>, OperationError> {
    if tensor.data_type() == DataType::Bytes {
        return Err(not_numbers(operation, "the tensor"));
    }
    let length = budget.check(operation, tensor.element_count().checked_mul(size_of::<u64>() as u64))?;
    let mut keys = vec![0; length / size_of::<u64>()];
    load_keys(tensor.data_type(), tensor.buffer().as_slice(), &mut keys);
    Ok(keys)
}

fn largest<'a>(lane: impl Iterator<Item = &'a u64>) -> i64 {
    let mut best: Option<(i64, u64)> = None;
    for (index, key) in (0_i64..).zip(lane) {
        if best.is_none_or(|(_, best)| *key > best) {
            best = Some((index, *key));
        }
    }
    best.map_or(0, |(index, _)| index)
}

/// The `k` largest elements along an axis, in order, and their places.
///
/// # Errors
/// BYTES, no such axis, `k` of 0 or more than there are.
pub fn top_k(tensor: &Tensor, k: u32, axis: i32, budget: Budget) -> Result<Ranked, OperationError> {
    const OPERATION: &str = "top-k";
    let axis = non_empty(OPERATION, tensor, axis)?;
    let count = k as usize;
    if count == 0 || count > axis.extent {
        let (extent, index) = (axis.extent, axis.index);
        let text = format!("k is {k}, expected 1 to {extent}, the extent of axis {index}");
        return Err(OperationError::argument(OPERATION, text));
    }
    let shape = axis.replaced(tensor.shape(), Some(k.into()));
    let mut indices = Output::new(OPERATION, DataType::Int64, shape.clone(), budget)?;
    let mut values = Output::new(OPERATION, tensor.data_type(), shape, budget)?;
    let keys = keys(OPERATION, tensor, budget)?;
    for (number, lane) in axis.lanes(&keys).enumerate() {
        let start = number / axis.inner * axis.inner * count + number % axis.inner;
        let places = indices.elements::<i64>().get_mut(start..).unwrap_or_default().iter_mut().step_by(axis.inner);
        places.zip(best(lane, count)).for_each(|(place, index)| *place = index);
    }
    gather(tensor, &axis, indices.elements(), values.elements());
    Ok(Ranked { values: values.finish()?, indices: indices.finish()? })
}

/// Copies the elements that the indices name, lane by lane.
fn gather(tensor: &Tensor, axis: &Axis, indices: &[i64], target: &mut [u8]) {
    let size = tensor.data_type().size_bytes().unwrap_or(1);
    let bytes = tensor.buffer().as_slice();
    let per_block = (indices.len() / axis.outer.max(1)).max(1);
    for (number, (index, target)) in indices.iter().zip(target.chunks_exact_mut(size)).enumerate() {
        let (block, lane) = (number / per_block, number % axis.inner.max(1));
        let along = usize::try_from(*index).unwrap_or_default();
        let start = ((block * axis.extent + along) * axis.inner + lane) * size;
        target.copy_from_slice(bytes.get(start..start + size).unwrap_or_default());
    }
}

fn non_empty(operation: &'static str, tensor: &Tensor, axis: i32) -> Result<Axis, OperationError> {
    let axis = Axis::of(operation, tensor, axis)?;
    if axis.extent == 0 {
        let text = format!("a tensor of shape {} has no elements to rank", tensor.shape());
        return Err(OperationError::argument(operation, text));
    }
    Ok(axis)
}

/// The places of the first `count` of a lane by size.
fn best<'a>(lane: impl Iterator<Item = &'a u64>, count: usize) -> impl Iterator<Item = i64> {
    let by_size = |left: &(u64, i64), right: &(u64, i64)| right.0.cmp(&left.0).then(left.1.cmp(&right.1));
    let mut lane: Vec<(u64, i64)> = lane.copied().zip(0..).collect();
    if count < lane.len() {
        lane.select_nth_unstable_by(count, by_size);
        lane.truncate(count);
    }
    lane.sort_unstable_by(by_size);
    lane.into_iter().map(|(_, index)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: fn() -> Budget = || Budget::new(1 << 20);

    #[test]
    fn of_equals_the_first_comes_first_and_nan_before_all() {
        let tensor = Tensor::from_elements([6], &[1.0_f32, 3.0, f32::NAN, 3.0, f32::INFINITY, -1.0]).unwrap();
        let ranked = top_k(&tensor, 4, 0, BUDGET()).unwrap();
        assert_eq!(ranked.indices.elements::<i64>().unwrap().as_ref(), [2, 4, 1, 3]);
        assert_eq!(argmax(&tensor, 0, BUDGET()).unwrap().elements::<i64>().unwrap().as_ref(), [2]);
        let equal = Tensor::from_elements([3], &[7_u8, 7, 7]).unwrap();
        assert_eq!(argmax(&equal, -1, BUDGET()).unwrap().elements::<i64>().unwrap().as_ref(), [0]);
    }

    #[test]
    fn ranks_along_an_outer_axis() {
        let tensor = Tensor::from_elements([3, 2], &[1_i64, 60, 20, 5, 3, 40]).unwrap();
        let ranked = top_k(&tensor, 2, 0, BUDGET()).unwrap();
        assert_eq!(ranked.values.elements::<i64>().unwrap().as_ref(), [20, 60, 3, 40]);
        assert_eq!(ranked.indices.elements::<i64>().unwrap().as_ref(), [1, 0, 2, 2]);
        assert_eq!(ranked.values.shape().to_vec(), [2, 2]);
        assert_eq!(argmax(&tensor, 1, BUDGET()).unwrap().shape().to_vec(), [3]);
    }

    #[test]
    fn k_beyond_the_axis_is_refused() {
        let tensor = Tensor::from_elements([2], &[1_u8, 2]).unwrap();
        let error = top_k(&tensor, 3, 0, BUDGET()).unwrap_err();
        assert_eq!(error.to_string(), "top-k: k is 3, expected 1 to 2, the extent of axis 0");
        assert!(top_k(&tensor, 0, 0, BUDGET()).is_err());
        assert!(argmax(&Tensor::from_elements([0], &[] as &[u8]).unwrap(), 0, BUDGET()).is_err());
    }
}
