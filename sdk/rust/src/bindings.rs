//! The bindings of `wit/`, as generated. Nothing here is the SDK's interface: what authors use is listed in `lib.rs`.

#![allow(missing_docs, unsafe_code, unused_qualifications, clippy::all)]

wit_bindgen::generate!({
    world: "transform-plugin",
    path: "../../wit",
    pub_export_macro: true,
    export_macro_name: "export_bindings",
    default_bindings_module: "nereid_sdk::bindings",
});

/// What a plugin exports that executes batches; what it imports is the same.
pub mod model {
    wit_bindgen::generate!({
        world: "model-plugin",
        path: "../../wit",
        pub_export_macro: true,
        export_macro_name: "export_model_bindings",
        default_bindings_module: "nereid_sdk::bindings::model",
        with: {
            "nereid:plugin/types@1.0.0": super::nereid::plugin::types,
            "nereid:plugin/tensors@1.0.0": super::nereid::plugin::tensors,
            "nereid:plugin/operations@1.0.0": super::nereid::plugin::operations,
            "nereid:plugin/serving@1.0.0": super::nereid::plugin::serving,
            "nereid:plugin/inference@1.0.0": super::nereid::plugin::inference,
            "nereid:plugin/logging@1.0.0": super::nereid::plugin::logging,
            "nereid:plugin/settings@1.0.0": super::nereid::plugin::settings,
            "nereid:plugin/metrics@1.0.0": super::nereid::plugin::metrics,
            "nereid:plugin/tracing@1.0.0": super::nereid::plugin::tracing,
            "nereid:plugin/state@1.0.0": super::nereid::plugin::state,
            "nereid:plugin/tokenizers@1.0.0": super::nereid::plugin::tokenizers,
        },
    });
}

/// What a plugin exports besides that completes its model's configuration. Of the worlds with the whole life of a model, this module and
/// the next two are what is new: a crate has the bindings of an export once, and a component has the exports of all bindings that it was
/// made with.
pub mod completion {
    wit_bindgen::generate!({
        inline: "
            package nereid:sdk;
            world completing {
                export nereid:plugin/completion@1.0.0;
            }
        ",
        world: "nereid:sdk/completing",
        path: "../../wit",
        pub_export_macro: true,
        export_macro_name: "export_completion_bindings",
        default_bindings_module: "nereid_sdk::bindings::completion",
        with: {
            "nereid:plugin/types@1.0.0": super::nereid::plugin::types,
            "nereid:plugin/tensors@1.0.0": super::nereid::plugin::tensors,
        },
    });
}

/// What is beside `model` in functions that return.
pub mod full_model {
    wit_bindgen::generate!({
        inline: "
            package nereid:sdk;
            world returning {
                export nereid:plugin/readiness@1.0.0;
                export nereid:plugin/draining@1.0.0;
            }
        ",
        world: "nereid:sdk/returning",
        path: "../../wit",
        pub_export_macro: true,
        export_macro_name: "export_full_model_bindings",
        default_bindings_module: "nereid_sdk::bindings::full_model",
        with: { "nereid:plugin/types@1.0.0": super::nereid::plugin::types },
    });
}

/// The same in functions that await.
pub mod full_async_model {
    wit_bindgen::generate!({
        inline: "
            package nereid:sdk;
            world awaiting {
                export nereid:plugin-async/readiness@1.0.0;
                export nereid:plugin-async/draining@1.0.0;
            }
        ",
        world: "nereid:sdk/awaiting",
        path: ["../../wit", "../../wit/async"],
        pub_export_macro: true,
        export_macro_name: "export_full_async_model_bindings",
        default_bindings_module: "nereid_sdk::bindings::full_async_model",
        with: { "nereid:plugin/types@1.0.0": super::nereid::plugin::types },
    });
}

/// What a repository agent exports; what it imports is the same.
pub mod agent {
    wit_bindgen::generate!({
        world: "agent-plugin",
        path: "../../wit",
        pub_export_macro: true,
        export_macro_name: "export_agent_bindings",
        default_bindings_module: "nereid_sdk::bindings::agent",
        with: {
            "nereid:plugin/types@1.0.0": super::nereid::plugin::types,
            "nereid:plugin/tensors@1.0.0": super::nereid::plugin::tensors,
            "nereid:plugin/operations@1.0.0": super::nereid::plugin::operations,
            "nereid:plugin/serving@1.0.0": super::nereid::plugin::serving,
            "nereid:plugin/inference@1.0.0": super::nereid::plugin::inference,
            "nereid:plugin/logging@1.0.0": super::nereid::plugin::logging,
            "nereid:plugin/settings@1.0.0": super::nereid::plugin::settings,
            "nereid:plugin/metrics@1.0.0": super::nereid::plugin::metrics,
            "nereid:plugin/tracing@1.0.0": super::nereid::plugin::tracing,
            "nereid:plugin/state@1.0.0": super::nereid::plugin::state,
            "nereid:plugin/tokenizers@1.0.0": super::nereid::plugin::tokenizers,
        },
    });
}

/// What a batching strategy exports; of what others import it has the log.
pub mod batching {
    wit_bindgen::generate!({
        world: "batching-plugin",
        path: "../../wit",
        pub_export_macro: true,
        export_macro_name: "export_batching_bindings",
        default_bindings_module: "nereid_sdk::bindings::batching",
        with: {
            "nereid:plugin/types@1.0.0": super::nereid::plugin::types,
            "nereid:plugin/tensors@1.0.0": super::nereid::plugin::tensors,
            "nereid:plugin/logging@1.0.0": super::nereid::plugin::logging,
        },
    });
}

/// What a plugin exports and imports that awaits: the package beside the contract, for guests that can.
pub mod async_model {
    wit_bindgen::generate!({
        world: "nereid:plugin-async/async-model-plugin",
        path: ["../../wit", "../../wit/async"],
        pub_export_macro: true,
        export_macro_name: "export_async_model_bindings",
        default_bindings_module: "nereid_sdk::bindings::async_model",
        with: {
            "nereid:plugin/types@1.0.0": super::nereid::plugin::types,
            "nereid:plugin/tensors@1.0.0": super::nereid::plugin::tensors,
            "nereid:plugin/operations@1.0.0": super::nereid::plugin::operations,
            "nereid:plugin/serving@1.0.0": super::nereid::plugin::serving,
            "nereid:plugin/inference@1.0.0": super::nereid::plugin::inference,
            "nereid:plugin/logging@1.0.0": super::nereid::plugin::logging,
            "nereid:plugin/settings@1.0.0": super::nereid::plugin::settings,
            "nereid:plugin/metrics@1.0.0": super::nereid::plugin::metrics,
            "nereid:plugin/tracing@1.0.0": super::nereid::plugin::tracing,
            "nereid:plugin/state@1.0.0": super::nereid::plugin::state,
            "nereid:plugin/tokenizers@1.0.0": super::nereid::plugin::tokenizers,
            "nereid:plugin/files@1.0.0": super::nereid::plugin::files,
            "nereid:plugin/secrets@1.0.0": super::nereid::plugin::secrets,
            "nereid:plugin/control@1.0.0": super::nereid::plugin::control,
            "nereid:plugin/http@1.0.0": super::nereid::plugin::http,
        },
    });
}
