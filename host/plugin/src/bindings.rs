//! What `wit/` says, as Rust types: generated here and nowhere else. Conversions to the domain's types are written by hand
//! in `convert`.
//!
//! Functions that wait are async, those that a guest awaits have an accessor of the store instead of the store; every function may
//! trap, because every one is counted and limited. Of the functions
//! that move bulk data, `imports::bulk` replaces the generated wrappers. The world is the sum of those that plugins are
//! built for; which exports a component has is looked up one by one, in `compile`.

#![allow(unsafe_code, unreachable_pub, clippy::all, reason = "generated from wit/")]

wasmtime::component::bindgen!({
    path: ["../../wit", "../../wit/async"],
    inline: "
        package nereid:host;
        world everything {
            include nereid:plugin/transform-plugin@1.0.0;
            include nereid:plugin/full-model-plugin@1.0.0;
            include nereid:plugin/agent-plugin@1.0.0;
            include nereid:plugin/batching-plugin@1.0.0;
            include nereid:plugin-async/full-async-model-plugin@1.0.0;
        }
    ",
    world: "nereid:host/everything",
    imports: {
        "nereid:plugin/inference.infer": async | trappable,
        "nereid:plugin/inference.wait-any": async | trappable,
        "nereid:plugin/inference.[method]pending.receive": async | trappable,
        "nereid:plugin/operations.decode-image": async | trappable,
        "nereid:plugin/operations.resize": async | trappable,
        "nereid:plugin/operations.crop": async | trappable,
        "nereid:plugin/operations.normalise": async | trappable,
        "nereid:plugin/operations.affine": async | trappable,
        "nereid:plugin/operations.to-channels-first": async | trappable,
        "nereid:plugin/operations.to-channels-last": async | trappable,
        "nereid:plugin/operations.transpose": async | trappable,
        "nereid:plugin/operations.cast": async | trappable,
        "nereid:plugin/operations.concat": async | trappable,
        "nereid:plugin/operations.stack": async | trappable,
        "nereid:plugin/operations.split": async | trappable,
        "nereid:plugin/operations.pad": async | trappable,
        "nereid:plugin/operations.softmax": async | trappable,
        "nereid:plugin/operations.argmax": async | trappable,
        "nereid:plugin/operations.top-k": async | trappable,
        "nereid:plugin/operations.non-maximum-suppression": async | trappable,
        "nereid:plugin/operations.encode-base64": async | trappable,
        "nereid:plugin/operations.decode-base64": async | trappable,
        "nereid:plugin/operations.texts": async | trappable,
        "nereid:plugin/operations.from-texts": async | trappable,
        "nereid:plugin/operations.blob-bytes": async | trappable,
        "nereid:plugin/tokenizers.[static]tokenizer.open": async | trappable,
        "nereid:plugin/tokenizers.[static]tokenizer.from-bytes": async | trappable,
        "nereid:plugin/tokenizers.[method]tokenizer.encode": async | trappable,
        "nereid:plugin/tokenizers.[method]tokenizer.decode": async | trappable,
        "nereid:plugin/serving.[method]sender.send": async | trappable,
        "nereid:plugin/files.read": async | trappable,
        "nereid:plugin/files.read-range": async | trappable,
        "nereid:plugin/files.write": async | trappable,
        "nereid:plugin/files.remove": async | trappable,
        "nereid:plugin/files.list-folder": async | trappable,
        "nereid:plugin/http.send": async | trappable,
        "nereid:plugin/http.send-all": async | trappable,
        "nereid:plugin/control.index": async | trappable,
        "nereid:plugin/control.load": async | trappable,
        "nereid:plugin/control.unload": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "nereid:plugin/tensors.tensor": crate::tensor_handle::TensorHandle,
        "nereid:plugin/serving.request": crate::imports::serving::RequestHandle,
        "nereid:plugin/serving.sender": crate::sender::SenderHandle,
        "nereid:plugin/inference.pending": crate::imports::inference::PendingCall,
        "nereid:plugin-async/inference.pending": crate::imports::awaited::AwaitedCall,
        "nereid:plugin/metrics.counter": crate::imports::metrics::CounterHandle,
        "nereid:plugin/metrics.gauge": crate::imports::metrics::GaugeHandle,
        "nereid:plugin/metrics.histogram": crate::imports::metrics::HistogramHandle,
        "nereid:plugin/tracing.span": crate::imports::tracing::SpanHandle,
        "nereid:plugin/tokenizers.tokenizer": crate::imports::operations::tokenizers::TokenizerHandle,
    },
});
