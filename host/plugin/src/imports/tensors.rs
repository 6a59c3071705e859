//! `tensors`: counts, looks the handle up, and leaves the work to [`TensorHandle`].

use nereid_tensor::Shape;
use wasmtime::component::Resource;

use crate::{
    bindings::nereid::plugin::{
        tensors::{Dtype, Host, HostTensor},
        types::Error,
    },
    convert,
    state::PluginState,
    tensor_handle::TensorHandle,
};

type Handle = Resource<TensorHandle>;

impl Host for PluginState {}

impl HostTensor for PluginState {
    fn create(&mut self, dtype: Dtype, shape: Vec<u64>) -> wasmtime::Result<Result<Handle, Error>> {
        self.enter("tensors.create")?;
        let made = TensorHandle::zeroed(convert::data_type(dtype), Shape::new(&shape), &self.call.account);
        Ok(self.keep(made).map_err(convert::error))
    }

    fn from_bytes(&mut self, dtype: Dtype, shape: Vec<u64>, data: Vec<u8>) -> wasmtime::Result<Result<Handle, Error>> {
        self.enter("tensors.from-bytes")?;
        let made = TensorHandle::copy_of(convert::data_type(dtype), Shape::new(&shape), &data, &self.call.account);
        Ok(self.keep(made).map_err(convert::error))
    }

    fn from_f32(&mut self, shape: Vec<u64>, data: Vec<f32>) -> wasmtime::Result<Result<Handle, Error>> {
        self.enter("tensors.from-f32")?;
        let (dtype, bytes) = (convert::data_type(Dtype::Fp32), bytemuck::cast_slice(&data));
        let made = TensorHandle::copy_of(dtype, Shape::new(&shape), bytes, &self.call.account);
        Ok(self.keep(made).map_err(convert::error))
    }

    fn from_blobs(&mut self, shape: Vec<u64>, items: Vec<Vec<u8>>) -> wasmtime::Result<Result<Handle, Error>> {
        self.enter("tensors.from-blobs")?;
        let made = TensorHandle::from_blobs(Shape::new(&shape), &items, &self.call.account);
        Ok(self.keep(made).map_err(convert::error))
    }

    fn dtype(&mut self, handle: Handle) -> wasmtime::Result<Dtype> {
        self.enter("tensors.dtype")?;
        Ok(convert::dtype(self.tensor(&handle)?.data_type()))
    }

    fn shape(&mut self, handle: Handle) -> wasmtime::Result<Vec<u64>> {
        self.enter("tensors.shape")?;
        Ok(self.tensor(&handle)?.shape().to_vec())
    }

    fn element_count(&mut self, handle: Handle) -> wasmtime::Result<u64> {
        self.enter("tensors.element-count")?;
        Ok(self.tensor(&handle)?.element_count())
    }

    fn byte_size(&mut self, handle: Handle) -> wasmtime::Result<u64> {
        self.enter("tensors.byte-size")?;
        Ok(self.tensor(&handle)?.as_slice().len() as u64)
    }

    fn read(&mut self, handle: Handle, offset: u32, length: u32) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        self.enter("tensors.read")?;
        let read = self.tensor(&handle)?.read(offset, length);
        Ok(read.map(|view| view.as_slice().to_vec()).map_err(convert::error))
    }

    fn read_f32(&mut self, handle: Handle, first: u32, count: u32) -> wasmtime::Result<Result<Vec<f32>, Error>> {
        self.enter("tensors.read-f32")?;
        Ok(self.tensor(&handle)?.read_f32(first, count).map_err(convert::error))
    }

    fn read_blobs(&mut self, handle: Handle, first: u32, count: u32) -> wasmtime::Result<Result<Vec<Vec<u8>>, Error>> {
        self.enter("tensors.read-blobs")?;
        Ok(self.tensor(&handle)?.read_blobs(first, count).map_err(convert::error))
    }

    fn write(&mut self, handle: Handle, offset: u32, data: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        self.enter("tensors.write")?;
        let account = self.call.account.clone();
        let written = self.tensor_mut(&handle)?.write(offset, &data, &account);
        Ok(written.inspect_err(|error| self.note_refusal(error)).map_err(convert::error))
    }

    fn write_f32(&mut self, handle: Handle, first: u32, data: Vec<f32>) -> wasmtime::Result<Result<(), Error>> {
        self.enter("tensors.write-f32")?;
        let account = self.call.account.clone();
        let written = self.tensor_mut(&handle)?.write_f32(first, &data, &account);
        Ok(written.inspect_err(|error| self.note_refusal(error)).map_err(convert::error))
    }

    fn share(&mut self, handle: Handle) -> wasmtime::Result<Handle> {
        self.enter("tensors.share")?;
        let shared = self.tensor_mut(&handle)?.shared();
        // The contract has no error here: too many handles end the call.
        self.keep(shared).map_err(wasmtime::Error::new)
    }

    fn reshape(&mut self, handle: Handle, shape: Vec<u64>) -> wasmtime::Result<Result<Handle, Error>> {
        self.enter("tensors.reshape")?;
        let made = self.tensor_mut(&handle)?.reshaped(Shape::new(&shape));
        Ok(self.keep(made).map_err(convert::error))
    }

    fn slice(&mut self, handle: Handle, first: u64, shape: Vec<u64>) -> wasmtime::Result<Result<Handle, Error>> {
        self.enter("tensors.slice")?;
        let made = self.tensor_mut(&handle)?.sliced(first, Shape::new(&shape));
        Ok(self.keep(made).map_err(convert::error))
    }

    /// A handle of an earlier call is gone already.
    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.tensors.remove(handle.rep());
        Ok(())
    }
}
