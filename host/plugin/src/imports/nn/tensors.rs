//! `wasi:nn/tensor`: the contract's own tensors, under another interface. One copy in, one out.
//!
//! The specification's constructor cannot fail: bytes that do not fit their dimensions are refused where they are computed with, and
//! what no handle or memory is left for ends the call.

use std::sync::Arc;

use nereid_inference::{InferError, NamedTensor, Signature};
use nereid_tensor::{DataType, Shape, Tensor};
use wasmtime::{
    StoreContextMut,
    component::{Linker, Resource, WasmList},
};

use super::bindings::wasi::nn::{
    inference::NamedTensor as Named,
    tensor::{Host, HostTensor, TensorType},
};
use crate::{account::Charge, failure::Stop, state::PluginState, tensor_handle::TensorHandle};

/// The interface's name, with its version.
const INTERFACE: &str = "wasi:nn/tensor@0.2.0-rc-2024-10-28";

type Handle = Resource<TensorHandle>;
type Context<'a> = StoreContextMut<'a, PluginState>;
type Inputs = (Vec<NamedTensor>, Vec<Arc<Charge>>);

/// Replaces the generated wrappers of what moves bulk data, as `imports::bulk` does.
pub(super) fn add_bulk_to_linker(linker: &mut Linker<PluginState>) -> wasmtime::Result<()> {
    let mut tensors = linker.instance(INTERFACE)?;
    tensors.func_wrap("[constructor]tensor", construct)?;
    tensors.func_wrap("[method]tensor.data", data)
}

fn construct(
    mut context: Context<'_>,
    (dimensions, tensor_type, data): (Vec<u32>, TensorType, WasmList<u8>),
) -> wasmtime::Result<(Handle,)> {
    context.data_mut().enter("nn.tensor")?;
    let account = context.data().call.account.clone();
    let made =
        TensorHandle::unchecked(data_type(tensor_type), shape(&dimensions), data.as_le_slice(&context), &account);
    context.data_mut().keep(made).map(|handle| (handle,)).map_err(wasmtime::Error::new)
}

fn data(mut context: Context<'_>, (handle,): (Handle,)) -> wasmtime::Result<(bytes::Bytes,)> {
    let state = context.data_mut();
    state.enter("nn.tensor.data")?;
    let tensor = state.tensor(&handle)?;
    Ok((tensor.read_all().into_bytes(),))
}

/// Whether the interface has a type for every output.
///
/// # Errors
/// `Unsupported`: it has not.
pub(super) fn check_outputs(signature: &Signature) -> Result<(), InferError> {
    signature.outputs.iter().try_for_each(|output| check_type(&output.name, output.data_type))
}

/// Whether the interface can say what an output is.
///
/// # Errors
/// `Unsupported`: it cannot.
pub(super) fn check_output(name: &str, tensor: &Tensor) -> Result<(), InferError> {
    check_type(name, tensor.data_type())?;
    if tensor.shape().iter().any(|extent| u32::try_from(*extent).is_err()) {
        let shape = tensor.shape();
        return Err(InferError::unsupported(format!(
            "output '{name}' has shape {shape}, extents have 32 bits in wasi:nn"
        )));
    }
    Ok(())
}

fn check_type(name: &str, found: DataType) -> Result<(), InferError> {
    if tensor_type(found).is_some() {
        return Ok(());
    }
    Err(InferError::unsupported(format!(
        "output '{name}' is of {found}, which wasi:nn has no type for: it has FP16, FP32, FP64, BF16, UINT8, INT32 and INT64; \
         call the model through nereid:plugin/inference"
    )))
}

// === impl PluginState ===

impl PluginState {
    /// The tensors of a computation, taken from the guest. The outer error costs the guest.
    pub(super) fn take_nn_inputs(&mut self, named: Vec<Named>) -> wasmtime::Result<Result<Inputs, InferError>> {
        let mut inputs = Vec::with_capacity(named.len());
        let mut charges = Vec::new();
        for (name, handle) in named {
            let mut handle = self.tensors.remove(handle.rep()).ok_or(Stop::StaleHandle("tensor"))?;
            match handle.share() {
                Ok((tensor, charge)) => {
                    inputs.push(NamedTensor::new(name, tensor));
                    charges.extend(charge);
                }
                Err(error) => return Ok(Err(error.prefixed(&format!("tensor '{name}': ")))),
            }
        }
        Ok(Ok((inputs, charges)))
    }
}

impl Host for PluginState {}

impl HostTensor for PluginState {
    fn new(&mut self, dimensions: Vec<u32>, tensor_type: TensorType, data: Vec<u8>) -> wasmtime::Result<Handle> {
        self.enter("nn.tensor")?;
        let account = self.call.account.clone();
        let made = TensorHandle::unchecked(data_type(tensor_type), shape(&dimensions), &data, &account);
        self.keep(made).map_err(wasmtime::Error::new)
    }

    fn dimensions(&mut self, handle: Handle) -> wasmtime::Result<Vec<u32>> {
        self.enter("nn.tensor.dimensions")?;
        let extents = self.tensor(&handle)?.shape().iter().map(|extent| u32::try_from(*extent));
        Ok(extents.collect::<Result<_, _>>()?)
    }

    fn ty(&mut self, handle: Handle) -> wasmtime::Result<TensorType> {
        self.enter("nn.tensor.ty")?;
        let found = self.tensor(&handle)?.data_type();
        tensor_type(found).ok_or_else(|| wasmtime::Error::msg(format!("wasi:nn has no type for {found}")))
    }

    fn data(&mut self, handle: Handle) -> wasmtime::Result<Vec<u8>> {
        self.enter("nn.tensor.data")?;
        Ok(self.tensor(&handle)?.as_slice().to_vec())
    }

    /// A handle of an earlier call is gone already.
    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.tensors.remove(handle.rep());
        Ok(())
    }
}

fn shape(dimensions: &[u32]) -> Shape {
    dimensions.iter().map(|extent| u64::from(*extent)).collect()
}

fn data_type(tensor_type: TensorType) -> DataType {
    match tensor_type {
        TensorType::Fp16 => DataType::Fp16,
        TensorType::Fp32 => DataType::Fp32,
        TensorType::Fp64 => DataType::Fp64,
        TensorType::Bf16 => DataType::Bf16,
        TensorType::U8 => DataType::Uint8,
        TensorType::I32 => DataType::Int32,
        TensorType::I64 => DataType::Int64,
    }
}

/// `None` for what the interface has no type for.
fn tensor_type(data_type: DataType) -> Option<TensorType> {
    Some(match data_type {
        DataType::Fp16 => TensorType::Fp16,
        DataType::Fp32 => TensorType::Fp32,
        DataType::Fp64 => TensorType::Fp64,
        DataType::Bf16 => TensorType::Bf16,
        DataType::Uint8 => TensorType::U8,
        DataType::Int32 => TensorType::I32,
        DataType::Int64 => TensorType::I64,
        DataType::Bool
        | DataType::Uint16
        | DataType::Uint32
        | DataType::Uint64
        | DataType::Int8
        | DataType::Int16
        | DataType::Bytes => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_the_interface_goes_there_and_back() {
        let known = DataType::ALL.into_iter().filter_map(|expected| Some((expected, tensor_type(expected)?)));
        let known: Vec<_> = known.collect();
        assert_eq!(known.len(), 7);
        assert!(known.iter().all(|(expected, found)| data_type(*found) == *expected), "{known:?}");
    }

    #[test]
    fn an_extent_beyond_32_bits_has_no_words_there() {
        let wide = Tensor::new(DataType::Uint8, [0, 1 << 32].into(), nereid_tensor::Buffer::default()).unwrap();
        assert!(check_output("y", &wide).unwrap_err().message().contains("extents have 32 bits"));
    }
}
