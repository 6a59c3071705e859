//! The structs of `shim/nereid_torch.h`, field by field.

use std::{
    ffi::{c_char, c_void},
    ptr,
};

use crate::settings::ModelSettings;

/// Types that are only pointed to.
pub(super) enum RawModel {}
pub(super) enum RawResult {}
pub(super) enum RawTensor {}
pub(super) enum RawStream {}

#[repr(C)]
pub(super) struct RunOptions {
    threads: i32,
    inference_mode: i32,
    optimize: i32,
    jit_executor: i32,
    jit_profiling: i32,
    tensor_fuser: i32,
    cudnn: i32,
    empty_cache: i32,
    keeps_on_device: i32,
    copies_outputs: i32,
}

#[repr(C)]
pub(super) struct Part {
    pub(super) data: *mut c_void,
    pub(super) length_bytes: usize,
    pub(super) device: i32,
    pub(super) usage: u32,
    pub(super) owner: *mut c_void,
    pub(super) release: extern "C" fn(*mut c_void),
}

#[repr(C)]
pub(super) struct Input {
    pub(super) key: *const c_char,
    pub(super) dimensions: *const i64,
    pub(super) rank: usize,
    pub(super) data_type: u32,
    pub(super) parts: *const Part,
    pub(super) part_count: usize,
}

#[repr(C)]
pub(super) struct View {
    pub(super) data: *const c_void,
    pub(super) dimensions: *const i64,
    pub(super) rank: usize,
    pub(super) data_type: u32,
    pub(super) device: i32,
}

/// A part or a view that is on no device.
pub(super) const HOST: i32 = -1;

/// Left as it is.
const UNSAID: i32 = -1;

// === impl RunOptions ===

impl RunOptions {
    pub(super) fn of(settings: &ModelSettings, keeps_on_device: bool, copies_outputs: bool) -> Self {
        let switch = |said: Option<bool>| said.map_or(UNSAID, i32::from);
        Self {
            threads: settings.intra_threads,
            inference_mode: i32::from(settings.inference_mode),
            optimize: i32::from(settings.optimize),
            jit_executor: switch(settings.jit_executor),
            jit_profiling: switch(settings.jit_profiling),
            tensor_fuser: switch(settings.tensor_fuser),
            cudnn: switch(settings.cudnn),
            empty_cache: i32::from(settings.clean_cache),
            keeps_on_device: i32::from(keeps_on_device),
            copies_outputs: i32::from(copies_outputs),
        }
    }
}

// === impl View ===

impl View {
    pub(super) const EMPTY: Self =
        Self { data: ptr::null(), dimensions: ptr::null(), rank: 0, data_type: u32::MAX, device: HOST };
}
