//! An answer as it is kept: its own copy of every byte, in one allocation.
//!
//! Promises: nothing of a batch, of a request's body or of a client's shared memory stays alive because of it, and its
//! size is what it occupies. Costs one copy when an answer is kept and none when it is given out.

use std::mem::size_of;

use nereid_inference::{InferResponse, NamedTensor, ParameterValue};
use nereid_tensor::{ALIGNMENT_BYTES, BufferMut, Tensor};

/// What a store spends on an entry besides the answer: key, links, counters of references, slack of the allocator.
const OVERHEAD_BYTES: usize = 256;

/// A response that owns its bytes, and how many they are with everything around them.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) response: InferResponse,
    pub(crate) size_bytes: usize,
}

// === impl Entry ===

impl Entry {
    /// A copy of `response`; `None` when its tensors have more than `tensor_bytes_max` bytes.
    pub(crate) fn copy_of(response: &InferResponse, tensor_bytes_max: usize) -> Option<Self> {
        let tensor_bytes = response.outputs.iter().map(|output| padded(output.tensor.byte_size())).sum::<usize>();
        if tensor_bytes > tensor_bytes_max {
            return None;
        }
        let mut memory = BufferMut::zeroed(tensor_bytes);
        let mut rest = memory.as_mut_slice();
        for output in &response.outputs {
            let bytes = output.tensor.buffer().as_slice();
            let (place, behind) = rest.split_at_mut_checked(padded(bytes.len()))?;
            place.get_mut(..bytes.len())?.copy_from_slice(bytes);
            rest = behind;
        }
        let memory = memory.freeze();
        let mut start = 0;
        let mut outputs = Vec::with_capacity(response.outputs.len());
        for NamedTensor { name, tensor } in &response.outputs {
            let view = memory.slice(start..start + tensor.byte_size())?;
            start += padded(tensor.byte_size());
            // Checked again: what was copied out of memory that others write to may differ from what was checked.
            outputs.push(NamedTensor::new(
                name.clone(),
                Tensor::new(tensor.data_type(), tensor.shape().clone(), view).ok()?,
            ));
        }
        let response = InferResponse { outputs, parameters: response.parameters.clone() };
        let size_bytes = tensor_bytes + OVERHEAD_BYTES + description_bytes(&response);
        Some(Self { response, size_bytes })
    }
}

/// Every tensor begins at a multiple of the alignment that backends like.
fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT_BYTES)
}

/// Names, shapes and parameters.
fn description_bytes(response: &InferResponse) -> usize {
    let output = |output: &NamedTensor| {
        size_of::<NamedTensor>() + output.name.len() + output.tensor.shape().len() * size_of::<u64>()
    };
    let parameter = |(name, value): (&str, &ParameterValue)| {
        let text = if let ParameterValue::String(text) = value { text.len() } else { 0 };
        size_of::<(String, ParameterValue)>() + name.len() + text
    };
    response.outputs.iter().map(output).sum::<usize>() + response.parameters.iter().map(parameter).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use nereid_tensor::{Buffer, DataType};

    use super::*;

    /// A response whose one output is `bytes` bytes out of the middle of a batch of a thousand such rows.
    fn of_a_batch(bytes: usize) -> InferResponse {
        let batch = Buffer::from(vec![7; bytes * 1_000]);
        let row = batch.slice(bytes * 3..bytes * 4).unwrap();
        let tensor = Tensor::new(DataType::Uint8, [bytes as u64].into(), row).unwrap();
        InferResponse::new(vec![NamedTensor::new("Y", tensor)])
    }

    #[test]
    fn the_copy_is_its_own_memory_and_is_counted() {
        let response = of_a_batch(100);
        let entry = Entry::copy_of(&response, 1_000).unwrap();
        let (kept, given) = (entry.response.output("Y").unwrap(), response.output("Y").unwrap());
        assert_eq!(kept.buffer().as_slice(), given.buffer().as_slice());
        assert!(!given.buffer().as_slice().as_ptr_range().contains(&kept.buffer().as_slice().as_ptr()));
        assert!((128..1_000).contains(&entry.size_bytes), "{}", entry.size_bytes);
    }

    #[test]
    fn external_memory_is_left_behind() {
        let view = Buffer::external(vec![1; 8].into());
        let tensor = Tensor::new(DataType::Uint8, [8].into(), view).unwrap();
        let entry = Entry::copy_of(&InferResponse::new(vec![NamedTensor::new("Y", tensor)]), 64).unwrap();
        assert!(!entry.response.output("Y").unwrap().buffer().is_external());
    }

    #[test]
    fn what_is_too_large_is_not_copied() {
        assert!(Entry::copy_of(&of_a_batch(65), 64).is_none());
        assert!(Entry::copy_of(&of_a_batch(64), 64).is_some());
    }

    #[test]
    fn every_output_is_aligned_and_keeps_its_bytes() {
        let bytes = Tensor::from_byte_strings([2], &["one", ""]).unwrap();
        let numbers = Tensor::from_elements([3], &[1.0_f32, 2.0, 3.0]).unwrap();
        let empty = Tensor::from_elements::<f32>([0], &[]).unwrap();
        let mut response = InferResponse::new(vec![
            NamedTensor::new("S", bytes),
            NamedTensor::new("E", empty),
            NamedTensor::new("N", numbers),
        ]);
        response.parameters.insert("p", ParameterValue::String("v".into()));
        let entry = Entry::copy_of(&response, 1_000).unwrap();
        for (kept, given) in entry.response.outputs.iter().zip(&response.outputs) {
            assert_eq!((&kept.name, kept.tensor.shape()), (&given.name, given.tensor.shape()));
            assert_eq!(kept.tensor.buffer().as_slice(), given.tensor.buffer().as_slice());
            assert!(kept.tensor.buffer().is_aligned_to(ALIGNMENT_BYTES));
        }
        assert_eq!(entry.response.parameters, response.parameters);
    }
}
