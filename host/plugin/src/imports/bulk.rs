//! The functions that move bulk data, wrapped by hand: one copy between guest and host where the generated wrappers make
//! two.
//!
//! Reading hands the guest a view of the tensor's buffer; writing copies straight out of the guest's memory.

use bytes::Bytes;
use nereid_tensor::Shape;
use wasmtime::{
    StoreContextMut,
    component::{Linker, Resource, WasmList},
};

use crate::{
    bindings::nereid::plugin::{tensors::Dtype, types::Error},
    contract::CONTRACT_VERSION,
    convert,
    failure::Stop,
    state::PluginState,
    tensor_handle::TensorHandle,
};

type Context<'a> = StoreContextMut<'a, PluginState>;
type Handle = Resource<TensorHandle>;

/// Replaces the generated wrappers.
pub(crate) fn add_to_linker(linker: &mut Linker<PluginState>) -> wasmtime::Result<()> {
    let mut tensors = linker.instance(&format!("nereid:plugin/tensors@{CONTRACT_VERSION}"))?;
    tensors.func_wrap("[method]tensor.read", read)?;
    tensors.func_wrap("[method]tensor.write", write)?;
    tensors.func_wrap("[static]tensor.from-bytes", from_bytes)
}

type Read = (Result<Bytes, Error>,);

fn read(mut context: Context<'_>, (handle, offset, length): (Handle, u32, u32)) -> wasmtime::Result<Read> {
    let state = context.data_mut();
    state.enter("tensors.read")?;
    let view = state.tensor(&handle)?.read(offset, length);
    Ok((view.map(|view| view.into_bytes()).map_err(convert::error),))
}

type Written = (Result<(), Error>,);

fn write(mut context: Context<'_>, (handle, offset, data): (Handle, u32, WasmList<u8>)) -> wasmtime::Result<Written> {
    let state = context.data_mut();
    state.enter("tensors.write")?;
    let account = state.call.account.clone();
    // Taken out for the copy, because guest memory and host state belong to the same store.
    let taken = state.tensors.get_mut(handle.rep()).map(TensorHandle::take);
    let mut tensor = taken.ok_or(Stop::StaleHandle("tensor"))?;
    let written = tensor.write(offset, data.as_le_slice(&context), &account);
    let state = context.data_mut();
    *state.tensor_mut(&handle)? = tensor;
    Ok((written.inspect_err(|error| state.note_refusal(error)).map_err(convert::error),))
}

type Made = (Result<Handle, Error>,);

fn from_bytes(
    mut context: Context<'_>,
    (dtype, shape, data): (Dtype, Vec<u64>, WasmList<u8>),
) -> wasmtime::Result<Made> {
    context.data_mut().enter("tensors.from-bytes")?;
    let account = context.data().call.account.clone();
    let (data_type, shape) = (convert::data_type(dtype), Shape::new(&shape));
    let made = TensorHandle::copy_of(data_type, shape, data.as_le_slice(&context), &account);
    Ok((context.data_mut().keep(made).map_err(convert::error),))
}
