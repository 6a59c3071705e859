//! What `wit/` says, as Rust types: generated here and nowhere else. Conversions to the domain's types are written by hand
//! in `convert`.
//!
//! Functions that wait are async; every function may trap, because every one is counted and limited. Of the functions
//! that move bulk data, `imports::bulk` replaces the generated wrappers.

#![allow(unsafe_code, unreachable_pub, clippy::all, reason = "generated from wit/")]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "transform-plugin",
    imports: {
        "nereid:plugin/inference.infer": async | trappable,
        "nereid:plugin/inference.wait-any": async | trappable,
        "nereid:plugin/inference.[method]pending.receive": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "nereid:plugin/tensors.tensor": crate::tensor_handle::TensorHandle,
        "nereid:plugin/serving.request": crate::imports::serving::RequestHandle,
        "nereid:plugin/inference.pending": crate::imports::inference::PendingCall,
    },
});
