//! Inputs where an instance can use them: those in memory of a device go there as they are, or are brought to the host.

use crate::{Batch, BlockingInstance, ExecuteFuture, TaskInstance};

/// Executes the batch on the calling thread, its inputs where the instance takes them.
pub fn execute_blocking(instance: &mut dyn BlockingInstance, batch: &mut Batch) {
    if can_start(instance.takes_device_memory(), batch) {
        instance.execute(batch);
    }
}

/// Executes the batch as a future, its inputs where the instance takes them. Copies from a device are made here, before
/// the future is polled.
pub fn execute_task<'a>(instance: &'a mut dyn TaskInstance, batch: &'a mut Batch) -> ExecuteFuture<'a> {
    match can_start(instance.takes_device_memory(), batch) {
        true => instance.execute(batch),
        false => Box::pin(std::future::ready(())),
    }
}

/// Whether the inputs are where the instance can use them; answers every request when they cannot be brought there. A
/// device that cannot be read once cannot be read for the other requests either.
fn can_start(takes_device_memory: bool, batch: &mut Batch) -> bool {
    if takes_device_memory {
        return true;
    }
    let brought = batch.bring_inputs_to_host();
    brought.inspect_err(|error| batch.fail_all(error)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::{ops::Range, sync::Arc};

    use bytes::Bytes;
    use nereid_inference::{InferRequest, InferResponse, NamedTensor, Signature, TensorSpec, response_channel};
    use nereid_tensor::{Buffer, DataType, DeviceError, DeviceMemory, Tensor};

    use super::*;

    /// Four bytes on a device; `true` when it can be read.
    #[derive(Debug)]
    struct Device(bool);

    impl DeviceMemory for Device {
        fn device_id(&self) -> i32 {
            0
        }

        fn address(&self) -> u64 {
            0x1000
        }

        fn length_bytes(&self) -> usize {
            4
        }

        fn read(&self, range: Range<usize>) -> Result<Bytes, DeviceError> {
            match self.0 {
                true => Ok(vec![7; range.len()].into()),
                false => Err(DeviceError { device_id: 0, problem: "lost".into() }),
            }
        }
    }

    /// Gives its input back, and remembers whether it was on a device.
    struct Echo {
        takes_device_memory: bool,
        saw_device: Option<bool>,
    }

    impl BlockingInstance for Echo {
        fn execute(&mut self, batch: &mut Batch) {
            let tensor = batch.requests().next().unwrap().input("X").unwrap().clone();
            self.saw_device = Some(tensor.buffer().device().is_some());
            batch.respond(0, Ok(InferResponse::new(vec![NamedTensor::new("Y", tensor)])));
        }

        fn takes_device_memory(&self) -> bool {
            self.takes_device_memory
        }
    }

    /// What the instance saw and what the caller got: whether it was on a device, or the error.
    fn execute(device: Device, instance: bool, caller: bool) -> (Option<bool>, Result<bool, String>) {
        let spec = TensorSpec { name: "X".into(), data_type: DataType::Uint8, dims: [4].into(), optional: false };
        let signature = Signature { inputs: vec![spec], ..Signature::default() };
        let tensor = Tensor::new(DataType::Uint8, [4].into(), Buffer::of_device(Arc::new(device))).unwrap();
        let mut request = InferRequest::new(vec![NamedTensor::new("X", tensor)]);
        request.takes_device_memory = caller;
        let mut batch = Batch::new([(signature.check(request).unwrap(), response_channel().0)]);
        let mut echo = Echo { takes_device_memory: instance, saw_device: None };
        execute_blocking(&mut echo, &mut batch);
        let answer = batch.finish().next().unwrap().answer.unwrap().1;
        let answer = answer.map(|response| response.output("Y").unwrap().buffer().device().is_some());
        (echo.saw_device, answer.map_err(|error| error.message().to_owned()))
    }

    #[test]
    fn tensors_stay_on_the_device_between_those_who_take_them_there() {
        assert_eq!(execute(Device(true), true, true), (Some(true), Ok(true)));
        assert_eq!(execute(Device(true), true, false), (Some(true), Ok(false)));
        assert_eq!(execute(Device(true), false, true), (Some(false), Ok(false)));
    }

    #[test]
    fn a_device_that_cannot_be_read_fails_the_request_by_name() {
        let text = |what, name| Err(format!("{what} '{name}' could not be brought to the host: GPU 0: lost"));
        assert_eq!(execute(Device(false), false, false), (None, text("input", "X")));
        assert_eq!(execute(Device(false), true, false), (Some(true), text("output", "Y")));
    }
}
