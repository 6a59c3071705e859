//! The bindings of `wit/`, as generated. Nothing here is the SDK's interface: what authors use is listed in `lib.rs`.

#![allow(missing_docs, unsafe_code, unused_qualifications, clippy::all)]

wit_bindgen::generate!({
    world: "transform-plugin",
    path: "../../wit",
    pub_export_macro: true,
    export_macro_name: "export_bindings",
    default_bindings_module: "nereid_sdk::bindings",
});
