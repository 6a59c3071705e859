//! One execution after the other: inputs are set, the program runs, outputs are copied out.

use std::{ffi::c_void, ptr, ptr::NonNull, slice, sync::Arc};

use nereid_tensor::{Buffer, BufferMut};

use super::{
    OpenVino, Program, found,
    functions::{RawRequest, RawTensor, Shape},
};

/// What executes a program, one execution at a time.
pub(crate) struct Request {
    program: Arc<Program>,
    request: NonNull<RawRequest>,
    /// What was set last, by index: OpenVINO has the addresses.
    inputs: Vec<Option<BufferMut>>,
}

/// Frees a tensor's handle.
struct TensorHandle(NonNull<RawTensor>, &'static OpenVino);

// SAFETY: OpenVINO lets any thread use a request; executing takes it for itself.
unsafe impl Send for Request {}

// === impl Request ===

impl Request {
    pub(super) fn new(program: Arc<Program>, request: NonNull<RawRequest>) -> Self {
        Self { program, request, inputs: vec![] }
    }

    /// Gives the input at `index` these elements, for the next execution.
    ///
    /// # Errors
    /// OpenVINO's words: another type or shape is expected.
    pub(crate) fn set_input(
        &mut self,
        index: usize,
        element_type: u32,
        dims: &[i64],
        mut elements: BufferMut,
    ) -> Result<(), String> {
        let (library, mut dims, mut tensor) = (self.program.library, dims.to_vec(), ptr::null_mut());
        let shape = Shape { rank: i64::try_from(dims.len()).unwrap_or(0), dims: dims.as_mut_ptr() };
        let data = elements.as_mut_slice().as_mut_ptr().cast::<c_void>();
        // SAFETY: the shape lives until the call returns. The elements are as many as the shape calls for (the caller has them
        // from a tensor of that shape) and stay at their address in `inputs` until others are set in their place.
        library.check(unsafe { (library.functions.new_tensor)(element_type, shape, data, &raw mut tensor) })?;
        let tensor = TensorHandle(found(tensor)?, library);
        // SAFETY: request and tensor are alive; the request keeps what it needs of the tensor.
        library.check(unsafe { (library.functions.set_input)(self.request.as_ptr(), index, tensor.0.as_ptr()) })?;
        if self.inputs.len() <= index {
            self.inputs.resize_with(index + 1, || None);
        }
        if let Some(place) = self.inputs.get_mut(index) {
            *place = Some(elements);
        }
        Ok(())
    }

    /// Executes.
    ///
    /// # Errors
    /// OpenVINO's words.
    pub(crate) fn infer(&mut self) -> Result<(), String> {
        let library = self.program.library;
        // SAFETY: the request is alive and taken for this call; the memory of its inputs lives in `self`.
        library.check(unsafe { (library.functions.infer)(self.request.as_ptr()) })
    }

    /// Shape and elements of the output at `index`, copied: the next execution writes to the same memory.
    ///
    /// # Errors
    /// OpenVINO's words.
    pub(crate) fn output(&self, index: usize) -> Result<(Vec<i64>, Buffer), String> {
        let (library, f, mut tensor) = (self.program.library, &self.program.library.functions, ptr::null_mut());
        // SAFETY: the request is alive and `tensor` is ours to write to.
        library.check(unsafe { (f.output_tensor)(self.request.as_ptr(), index, &raw mut tensor) })?;
        let tensor = TensorHandle(found(tensor)?, library);
        let (mut length_bytes, mut data) = (0, ptr::null_mut());
        // SAFETY: the tensor is alive and `length_bytes` is ours to write to.
        library.check(unsafe { (f.tensor_bytes)(tensor.0.as_ptr(), &raw mut length_bytes) })?;
        let mut buffer = Buffer::default();
        if length_bytes > 0 {
            // SAFETY: as above, for `data`.
            library.check(unsafe { (f.tensor_data)(tensor.0.as_ptr(), &raw mut data) })?;
            let data = found(data)?.cast::<u8>();
            // SAFETY: the library says that as many bytes lie there; nobody writes to them between executions.
            buffer = BufferMut::copy_of(unsafe { slice::from_raw_parts(data.as_ptr(), length_bytes) }).freeze();
        }
        let mut shape = Shape { rank: 0, dims: ptr::null_mut() };
        // SAFETY: as above, for `shape`.
        library.check(unsafe { (f.tensor_shape)(tensor.0.as_ptr(), &raw mut shape) })?;
        let dims = match usize::try_from(shape.rank).unwrap_or(0) {
            0 => vec![],
            // SAFETY: the library wrote as many dimensions as the rank says.
            rank => unsafe { slice::from_raw_parts(shape.dims, rank) }.to_vec(),
        };
        // SAFETY: the shape came from the library and is freed once.
        unsafe { (f.free_shape)(&raw mut shape) };
        Ok((dims, buffer))
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // SAFETY: the request came from the library and is freed here alone, before its inputs and its program.
        unsafe { (self.program.library.functions.free_request)(self.request.as_ptr()) };
    }
}

// === impl TensorHandle ===

impl Drop for TensorHandle {
    fn drop(&mut self) {
        // SAFETY: the handle came from the library and is freed here alone.
        unsafe { (self.1.functions.free_tensor)(self.0.as_ptr()) };
    }
}
