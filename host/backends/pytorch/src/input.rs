//! An input on its way to LibTorch: where it lies, or a copy where it cannot be used there.

use nereid_backend::Parts;
use nereid_tensor::{BufferMut, DataType, Tensor};

use crate::{
    ffi::{Argument, Memory, Part, Usage},
    plan::{Plan, PlannedInput},
};

/// The argument that a tensor becomes for a model on the CPU.
pub(crate) fn argument(plan: &Plan, planned: &PlannedInput, tensor: Tensor) -> Argument {
    let (data_type, shape) = (planned.data_type, tensor.shape().clone());
    let memory = match unfit_copy(plan, &tensor) {
        Some(copy) => Memory::Own(copy),
        None => Memory::Shared(tensor),
    };
    Argument { key: planned.key.clone(), data_type, shape, parts: vec![Part { memory, usage: Usage::InPlace }] }
}

/// The argument that parts become for a model on a device: LibTorch copies them there, next to each other. One part alone
/// that is on the device already is used in place.
pub(crate) fn argument_on_device(plan: &Plan, planned: &PlannedInput, parts: &Parts<'_>) -> Argument {
    let part = |tensor: &&Tensor| Part { usage: usage(plan, tensor), memory: Memory::Shared((*tensor).clone()) };
    let (key, data_type, shape) = (planned.key.clone(), planned.data_type, parts.shape.clone());
    Argument { key, data_type, shape, parts: parts.tensors.iter().map(part).collect() }
}

/// What may be done on a device with a tensor that is there already.
fn usage(plan: &Plan, tensor: &Tensor) -> Usage {
    match tensor.buffer().is_external() {
        _ if plan.writes_inputs || may_change(plan, tensor) || !is_aligned(tensor) => Usage::Copied,
        true => Usage::Open,
        false => Usage::InPlace,
    }
}

/// A copy of bytes that LibTorch could not use safely where they are: a model would write to them, they are not aligned for
/// the elements, they are open to changes that nobody expects, or they are a `BOOL` other than 0 and 1, which is
/// undefined behaviour in C++.
fn unfit_copy(plan: &Plan, tensor: &Tensor) -> Option<BufferMut> {
    let buffer = tensor.buffer();
    let is_open = may_change(plan, tensor);
    if tensor.data_type() == DataType::Bool && (is_open || buffer.as_slice().iter().any(|byte| *byte > 1)) {
        let mut copy = BufferMut::copy_of(buffer.as_slice());
        copy.as_mut_slice().iter_mut().for_each(|byte| *byte = u8::from(*byte != 0));
        return Some(copy);
    }
    (is_open || plan.writes_inputs || !is_aligned(tensor)).then(|| BufferMut::copy_of(buffer.as_slice()))
}

/// Whether a change by a client would do harm. Floating-point numbers are only calculated with; others may be an index that
/// was checked before. A model that keeps what it is given would see a client change it later.
fn may_change(plan: &Plan, tensor: &Tensor) -> bool {
    tensor.buffer().is_external() && (plan.writes_itself || !is_float(tensor.data_type()))
}

fn is_aligned(tensor: &Tensor) -> bool {
    tensor.data_type().size_bytes().is_some_and(|element_bytes| tensor.buffer().is_aligned_to(element_bytes))
}

fn is_float(data_type: DataType) -> bool {
    matches!(data_type, DataType::Fp16 | DataType::Bf16 | DataType::Fp32 | DataType::Fp64)
}

#[cfg(test)]
mod tests {
    use std::{ops::Range, sync::Arc};

    use bytes::Bytes;
    use nereid_backend::BatchForms;
    use nereid_inference::ModelConfig;
    use nereid_tensor::{Buffer, DeviceError, DeviceMemory};

    use super::*;
    use crate::settings::ModelSettings;

    fn plan(writes_inputs: bool, writes_itself: bool) -> Plan {
        Plan {
            model_name: "m".into(),
            batching: false,
            settings: ModelSettings::from_config(&ModelConfig::default()).unwrap(),
            inputs: vec![],
            outputs: vec![],
            forms: BatchForms::default(),
            writes_inputs,
            writes_itself,
        }
    }

    fn external(data_type: DataType, length_bytes: usize) -> Tensor {
        let bytes = Bytes::from_owner(BufferMut::zeroed(length_bytes));
        Tensor::new(data_type, [2].into(), Buffer::external(bytes)).unwrap()
    }

    #[test]
    fn memory_that_is_fit_is_not_copied() {
        let private = Tensor::from_elements([2], &[1_i64, 2]).unwrap();
        assert!(unfit_copy(&plan(false, true), &private).is_none());
        assert!(unfit_copy(&plan(false, false), &external(DataType::Fp32, 8)).is_none());
    }

    #[test]
    fn what_could_change_in_between_is_copied() {
        let private = Tensor::from_elements([2], &[1_i64, 2]).unwrap();
        assert!(unfit_copy(&plan(true, false), &private).is_some(), "the model writes");
        assert!(unfit_copy(&plan(false, false), &external(DataType::Int64, 16)).is_some(), "the client may write");
        assert!(unfit_copy(&plan(false, true), &external(DataType::Fp32, 8)).is_some(), "the model may keep it");
    }

    /// Sixteen bytes on a device, from which nothing can be read.
    #[derive(Debug)]
    struct Device;

    impl DeviceMemory for Device {
        fn device_id(&self) -> i32 {
            0
        }

        fn address(&self) -> u64 {
            0x1000
        }

        fn length_bytes(&self) -> usize {
            16
        }

        fn read(&self, _: Range<usize>) -> Result<Bytes, DeviceError> {
            panic!("it was read")
        }
    }

    #[test]
    fn memory_of_a_device_is_used_in_place_where_nobody_writes_to_it() {
        let private = || Buffer::of_device(Arc::new(Device));
        let external = || Buffer::external_of_device(Arc::new(Device));
        let check = |writes: (bool, bool), data_type, buffer, expected| {
            let tensor = Tensor::new(data_type, [2].into(), buffer).unwrap();
            assert_eq!(usage(&plan(writes.0, writes.1), &tensor), expected);
        };
        check((false, true), DataType::Int64, private(), Usage::InPlace);
        check((true, false), DataType::Int64, private(), Usage::Copied);
        check((false, false), DataType::Int64, external(), Usage::Copied);
        check((false, false), DataType::Fp64, external(), Usage::Open);
        check((false, true), DataType::Fp64, external(), Usage::Copied);
        check((false, false), DataType::Fp32, private().slice(2..10).unwrap(), Usage::Copied);
    }

    #[test]
    fn misaligned_memory_and_odd_bools_are_copied() {
        let buffer = Buffer::from(Bytes::from_owner(BufferMut::zeroed(12))).slice(1..9).unwrap();
        let odd = Tensor::new(DataType::Fp32, [2].into(), buffer).unwrap();
        assert_eq!(unfit_copy(&plan(false, false), &odd).unwrap().as_slice(), [0; 8]);
        let odd = Tensor::new(DataType::Bool, [3].into(), vec![0, 1, 7].into()).unwrap();
        assert_eq!(unfit_copy(&plan(false, false), &odd).unwrap().as_slice(), [0, 1, 1]);
    }
}
