//! How a type becomes a plugin.
//!
//! The host calls one instance for one request at a time. A panic is written to the server's log with its place and
//! then ends the instance: that request fails, the next one starts in a fresh instance.

use std::{
    cell::RefCell,
    panic::{self, PanicHookInfo},
    sync::Once,
    thread::LocalKey,
};

use crate::{
    Error, Inputs, Level, Request, Response,
    bindings::nereid::plugin::{logging, serving, tensors::Named, types},
};

/// The one-function plugin: tensors and parameters in, tensors and parameters out.
pub trait Transform: Sized {
    /// Makes the plugin when an instance gets its first request: read settings and build tables here.
    ///
    /// # Errors
    /// The settings make no sense. The error answers the request; the next one tries again.
    fn new() -> Result<Self, Error>;

    /// Answers one request. The inputs fit the model's configuration; optional ones may be missing.
    ///
    /// What `self` keeps is seen by later calls to the same instance only, and any instance may be replaced at any
    /// time. Tensors cannot be kept: the host closes them when the call ends.
    ///
    /// # Errors
    /// The answer to this request alone.
    fn run(&mut self, request: &Request, inputs: Inputs) -> Result<Response, Error>;
}

/// Makes a type that implements [`Transform`] the plugin that this crate builds. Once per crate, which must have
/// `crate-type = ["cdylib"]`.
#[macro_export]
macro_rules! export_transform {
    ($plugin:ty) => {
        const _: () = {
            use $crate::bindings::{exports::nereid::plugin::transform as exported, nereid::plugin as host};

            ::std::thread_local! {
                static INSTANCE: ::std::cell::RefCell<::std::option::Option<$plugin>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }

            struct Exported;

            impl exported::Guest for Exported {
                fn run(
                    request: host::serving::Request,
                    inputs: ::std::vec::Vec<host::tensors::Named>,
                ) -> ::std::result::Result<host::serving::Response, host::types::Error> {
                    $crate::run_exported(&INSTANCE, request, inputs)
                }
            }

    $crate::bindings::export_bindings!(Exported with_types_in $crate::bindings);
        };
    };
}

/// What [`export_transform!`] calls. The slot is empty before the first request.
#[doc(hidden)]
pub fn run_exported<T: Transform>(
    slot: &'static LocalKey<RefCell<Option<T>>>,
    request: serving::Request,
    inputs: Vec<Named>,
) -> Result<serving::Response, types::Error> {
    report_panics();
    let mut plugin = match slot.take() {
        Some(plugin) => plugin,
        None => T::new()?,
    };
    let answer = plugin.run(&Request::new(request), Inputs::new(inputs));
    slot.set(Some(plugin));
    Ok(answer?.into())
}

/// A panic ends the instance with a bare trap. Its text and place go to the log first.
pub(crate) fn report_panics() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| panic::set_hook(Box::new(|panic| logging::log(Level::Error, &describe(panic)))));
}

fn describe(panic: &PanicHookInfo<'_>) -> String {
    let text = panic.payload_as_str().unwrap_or("without a text");
    match panic.location() {
        Some(place) => format!("panicked at {place}: {text}"),
        None => format!("panicked: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_panic_is_described_with_its_text_and_its_place() {
        static SEEN: Mutex<String> = Mutex::new(String::new());
        let before = panic::take_hook();
        panic::set_hook(Box::new(|panic| *SEEN.lock().unwrap() = describe(panic)));
        let caught = panic::catch_unwind(|| panic!("row {} is empty", 3));
        panic::set_hook(before);
        assert!(caught.is_err());
        let seen = SEEN.lock().unwrap();
        assert!(seen.starts_with("panicked at ") && seen.ends_with(": row 3 is empty"), "{seen}");
        assert!(seen.contains("export.rs:"), "{seen}");
    }
}
