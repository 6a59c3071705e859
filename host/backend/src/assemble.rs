//! Many requests' tensors as one, and one tensor as many requests'.
//!
//! Cost: a batch of one is free; a batch of N copies each input once (gather). Handing out (scatter) is slicing.

use nereid_inference::InferError;
use nereid_tensor::{Buffer, BufferMut, BytesElements, DataType, Shape, Tensor};

use crate::Batch;

/// One tensor of a batch, not yet in one piece: for backends that put it together in memory of their own.
#[derive(Debug)]
pub struct Parts<'b> {
    pub data_type: DataType,
    /// Of the whole.
    pub shape: Shape,
    /// Their elements follow each other; at least one.
    pub tensors: Vec<&'b Tensor>,
}

/// The input called `name` of every request, concatenated along the batch dimension; `None` when no request has it.
///
/// # Errors
/// Only some requests have it, or their types or inner dimensions differ: the scheduler must not have batched them.
pub fn gather(batch: &Batch, name: &str) -> Result<Option<Tensor>, InferError> {
    parts_by_rows(batch, name)?.map(|parts| parts.joined()).transpose()
}

/// The elements of the input called `name` of every request, whatever their shapes, end to end in one dimension; `None`
/// when no request has it.
///
/// # Errors
/// Only some requests have it, or their types differ: the scheduler must not have batched them.
pub fn gather_flat(batch: &Batch, name: &str) -> Result<Option<Tensor>, InferError> {
    parts_end_to_end(batch, name)?.map(|parts| parts.joined()).transpose()
}

/// What [`gather`] puts together.
pub(crate) fn parts_by_rows<'b>(batch: &'b Batch, name: &str) -> Result<Option<Parts<'b>>, InferError> {
    let tensors = parts(batch, name)?;
    let Some((first, others)) = tensors.split_first() else { return Ok(None) };
    if let Some(odd) =
        others.iter().find(|t| t.data_type() != first.data_type() || t.shape().inner() != first.shape().inner())
    {
        let (left, right) = (first.shape(), odd.shape());
        return Err(InferError::internal(format!("input '{name}' cannot be batched: shapes {left} and {right}")));
    }
    let rows: u64 = tensors.iter().filter_map(|part| part.shape().first()).sum();
    let shape = if others.is_empty() { first.shape().clone() } else { first.shape().with_outermost(rows) };
    Ok(Some(Parts { data_type: first.data_type(), shape, tensors }))
}

/// What [`gather_flat`] puts together.
pub(crate) fn parts_end_to_end<'b>(batch: &'b Batch, name: &str) -> Result<Option<Parts<'b>>, InferError> {
    let tensors = parts(batch, name)?;
    let Some((first, others)) = tensors.split_first() else { return Ok(None) };
    let inconsistent = || InferError::internal(format!("input '{name}' cannot be laid end to end"));
    if others.iter().any(|part| part.data_type() != first.data_type()) {
        return Err(inconsistent());
    }
    let elements: Option<u64> = tensors.iter().map(|part| part.shape().checked_element_count()).sum();
    let shape = Shape::from([elements.ok_or_else(inconsistent)?]);
    Ok(Some(Parts { data_type: first.data_type(), shape, tensors }))
}

/// Cuts `output` along the batch dimension into parts of `rows` rows each.
///
/// # Errors
/// The parts do not add up to the output's batch dimension.
pub fn scatter(name: &str, output: Tensor, rows: &[u64]) -> Result<Vec<Tensor>, InferError> {
    let total: u64 = rows.iter().sum();
    if output.shape().first() != Some(&total) {
        let shape = output.shape();
        let text = format!("output '{name}' has shape {shape}, expected a batch dimension of {total} rows");
        return Err(InferError::internal(text));
    }
    if rows.len() == 1 {
        return Ok(vec![output]);
    }
    let shapes = rows.iter().map(|rows| output.shape().with_outermost(*rows));
    cut(name, &output, shapes)
}

/// Cuts the elements of `output`, whatever its own shape, into parts of these shapes, which follow each other.
///
/// # Errors
/// The output is too short, or holds more than the parts.
pub(crate) fn cut(
    name: &str,
    output: &Tensor,
    shapes: impl ExactSizeIterator<Item = Shape>,
) -> Result<Vec<Tensor>, InferError> {
    let mut start = 0;
    let mut parts = Vec::with_capacity(shapes.len());
    for shape in shapes {
        let end = start + part_length(output, &shape, start).ok_or_else(|| inconsistent(name))?;
        let buffer = output.buffer().slice(start..end).ok_or_else(|| inconsistent(name))?;
        parts.push(Tensor::new(output.data_type(), shape, buffer).map_err(|_| inconsistent(name))?);
        start = end;
    }
    if start == output.byte_size() { Ok(parts) } else { Err(inconsistent(name)) }
}

/// The input called `name` of every request; nothing when no request has it.
fn parts<'b>(batch: &'b Batch, name: &str) -> Result<Vec<&'b Tensor>, InferError> {
    let parts: Vec<&Tensor> = batch.requests().filter_map(|request| request.input(name)).collect();
    if !parts.is_empty() && parts.len() != batch.len() {
        let text = format!("input '{name}' is present in only {} of {} batched requests", parts.len(), batch.len());
        return Err(InferError::internal(text));
    }
    Ok(parts)
}

// === impl Parts ===

impl Parts<'_> {
    /// The whole, in memory of the host; one part alone is not copied, and stays where it lies.
    ///
    /// # Errors
    /// What the parts are together is no tensor.
    pub fn joined(&self) -> Result<Tensor, InferError> {
        let joined = match *self.tensors {
            [alone] => alone.reshaped(self.shape.clone()),
            _ => Tensor::new(self.data_type, self.shape.clone(), self.concatenated()),
        };
        joined.map_err(|error| InferError::internal(error.to_string()))
    }

    fn concatenated(&self) -> Buffer {
        let total_bytes: usize = self.tensors.iter().map(|part| part.byte_size()).sum();
        let mut gathered = BufferMut::zeroed(total_bytes);
        let mut rest = gathered.as_mut_slice();
        for part in &self.tensors {
            let (target, tail) = rest.split_at_mut(part.byte_size());
            target.copy_from_slice(part.buffer().as_slice());
            rest = tail;
        }
        gathered.freeze()
    }
}

/// Bytes of the part of `shape` that starts at byte `start` of `output`.
fn part_length(output: &Tensor, shape: &Shape, start: usize) -> Option<usize> {
    if output.data_type() != DataType::Bytes {
        return shape.byte_size(output.data_type());
    }
    let elements = usize::try_from(shape.checked_element_count()?).ok()?;
    let rest: Buffer = output.buffer().slice(start..output.byte_size())?;
    BytesElements::new(rest.as_slice())
        .take(elements)
        .try_fold(0, |length, element| Some(length + size_of::<u32>() + element.ok()?.len()))
}

fn inconsistent(name: &str) -> InferError {
    InferError::internal(format!("output '{name}' cannot be cut into the batch's parts"))
}

#[cfg(test)]
mod tests {
    use nereid_inference::{InferRequest, NamedTensor, Signature, TensorSpec, response_channel};

    use super::*;

    fn batch_of(inputs: Vec<Tensor>) -> Batch {
        let first = &inputs[0];
        let spec = TensorSpec {
            name: "X".into(),
            data_type: first.data_type(),
            dims: first.shape().inner().iter().map(|_| -1).collect(),
            optional: false,
        };
        let signature = Signature { inputs: vec![spec], max_batch_size: 64, ..Signature::default() };
        Batch::new(inputs.into_iter().map(|tensor| {
            let request = InferRequest::new(vec![NamedTensor::new("X", tensor)]);
            (signature.check(request).unwrap(), response_channel().0)
        }))
    }

    #[test]
    fn a_batch_of_one_is_not_copied() {
        let tensor = Tensor::from_elements([2, 2], &[1.0_f32, 2.0, 3.0, 4.0]).unwrap();
        let gathered = gather(&batch_of(vec![tensor.clone()]), "X").unwrap().unwrap();
        assert_eq!(gathered.buffer().as_slice().as_ptr(), tensor.buffer().as_slice().as_ptr());
    }

    #[test]
    fn gathering_and_scattering_give_back_the_parts() {
        let parts = vec![
            Tensor::from_elements([1, 2], &[1_i32, 2]).unwrap(),
            Tensor::from_elements([2, 2], &[3_i32, 4, 5, 6]).unwrap(),
        ];
        let whole = gather(&batch_of(parts), "X").unwrap().unwrap();
        assert_eq!(whole.elements::<i32>().unwrap().as_ref(), &[1, 2, 3, 4, 5, 6]);
        let address = whole.buffer().as_slice().as_ptr();
        let cut = scatter("Y", whole, &[1, 2]).unwrap();
        assert_eq!(cut[0].buffer().as_slice().as_ptr(), address);
        assert_eq!(cut[1].elements::<i32>().unwrap().as_ref(), &[3, 4, 5, 6]);
    }

    #[test]
    fn strings_are_gathered_and_scattered_too() {
        let parts = vec![
            Tensor::from_byte_strings([1, 1], &["one"]).unwrap(),
            Tensor::from_byte_strings([2, 1], &["", "three"]).unwrap(),
        ];
        let whole = gather(&batch_of(parts), "X").unwrap().unwrap();
        let cut = scatter("Y", whole, &[1, 2]).unwrap();
        assert_eq!(cut[1].byte_strings().collect::<Vec<_>>(), [b"".as_slice(), b"three"]);
    }

    #[test]
    fn requests_of_any_shape_are_laid_end_to_end() {
        let parts = vec![
            Tensor::from_elements([1, 2], &[1_i32, 2]).unwrap(),
            Tensor::from_elements([2, 0], &[0_i32; 0]).unwrap(),
            Tensor::from_elements([1, 3], &[3_i32, 4, 5]).unwrap(),
        ];
        let whole = gather_flat(&batch_of(parts), "X").unwrap().unwrap();
        assert_eq!(
            (&**whole.shape(), whole.elements::<i32>().unwrap().as_ref()),
            ([5].as_slice(), [1, 2, 3, 4, 5].as_slice())
        );
        let alone = Tensor::from_byte_strings([2, 1], &["", "three"]).unwrap();
        let flat = gather_flat(&batch_of(vec![alone.clone()]), "X").unwrap().unwrap();
        assert_eq!(&**flat.shape(), [2]);
        assert_eq!(flat.buffer().as_slice().as_ptr(), alone.buffer().as_slice().as_ptr(), "copied");
        assert!(gather_flat(&batch_of(vec![alone]), "Z").unwrap().is_none());
    }

    #[test]
    fn an_output_without_the_batch_dimension_is_named() {
        let output = Tensor::from_elements([3], &[1_u8, 2, 3]).unwrap();
        let error = scatter("Y", output, &[1, 1]).unwrap_err();
        assert_eq!(error.message(), "output 'Y' has shape [3], expected a batch dimension of 2 rows");
    }
}
