//! Batching strategies: asked which requests share a batch.
//!
//! ```no_run
//! use nereid_sdk::{BatchModel, BatchRequest, BatchStrategy, Error, export_batching};
//!
//! /// No more than two requests together, however few rows they have.
//! struct Pairs {
//!     requests: usize,
//! }
//!
//! impl BatchStrategy for Pairs {
//!     fn new(_model: &BatchModel) -> Result<Self, Error> {
//!         Ok(Self { requests: 0 })
//!     }
//!
//!     fn begin(&mut self) {
//!         self.requests = 0;
//!     }
//!
//!     fn include(&mut self, _request: &BatchRequest) -> bool {
//!         self.requests += 1;
//!         self.requests <= 2
//!     }
//! }
//!
//! export_batching!(Pairs);
//! ```

use std::{cell::RefCell, thread::LocalKey};

use crate::{
    Error, Value,
    bindings::{batching::exports::nereid::plugin::batching as exported, nereid::plugin::types},
    export::report_panics,
};

pub use exported::{
    CorrelationId as BatchCorrelationId, Input as BatchInput, Model as BatchModel, Request as BatchRequest,
};

/// What is asked of a batching strategy. One instance forms all batches of a model, one after the other; it may be replaced between two
/// of them, and then starts anew.
pub trait BatchStrategy: Sized {
    /// Makes the strategy for a model, whose `parameters` say what its author wants.
    ///
    /// # Errors
    /// While the model is loaded, why it cannot be.
    fn new(model: &BatchModel) -> Result<Self, Error>;

    /// A batch begins; its first request is asked about next.
    fn begin(&mut self);

    /// Whether the request joins the batch. The first one does whatever is said, and is asked about to be counted; after the first
    /// no, the batch is complete.
    fn include(&mut self, request: &BatchRequest) -> bool;

    /// The batch is formed.
    fn finish(&mut self) {}
}

// === impl BatchModel ===

impl BatchModel {
    /// The value under `key` in the `parameters` of `config.pbtxt`.
    pub fn parameter(&self, key: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}

// === impl BatchRequest ===

impl BatchRequest {
    /// The parameter that the client gave this name.
    pub fn parameter(&self, name: &str) -> Option<&Value> {
        self.parameters.iter().find(|parameter| parameter.name == name).map(|parameter| &parameter.value)
    }

    /// Bytes of all inputs.
    pub fn byte_size(&self) -> u64 {
        self.inputs.iter().map(|input| input.byte_size).sum()
    }
}

/// Makes a type that implements [`BatchStrategy`] the strategy that this crate builds. Once per crate, which must have
/// `crate-type = ["cdylib"]`.
#[macro_export]
macro_rules! export_batching {
    ($strategy:ty) => {
        const _: () = {
            use $crate::bindings::{batching::exports::nereid::plugin::batching as exported, nereid::plugin as host};

            ::std::thread_local! {
                static INSTANCE: ::std::cell::RefCell<::std::option::Option<$strategy>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }

            struct Exported;

            impl exported::Guest for Exported {
                fn initialise(model: exported::Model) -> ::std::result::Result<(), host::types::Error> {
                    $crate::initialise_strategy(&INSTANCE, &model)
                }

                fn begin_batch() {
                    $crate::with_strategy(&INSTANCE, |strategy| $crate::BatchStrategy::begin(strategy));
                }

                fn include_request(request: exported::Request) -> bool {
                    $crate::with_strategy(&INSTANCE, |strategy| $crate::BatchStrategy::include(strategy, &request))
                }

                fn finish_batch() {
                    $crate::with_strategy(&INSTANCE, |strategy| $crate::BatchStrategy::finish(strategy));
                }
            }

    $crate::bindings::batching::export_batching_bindings!(Exported with_types_in $crate::bindings::batching);
        };
    };
}

/// What [`export_batching!`] calls first.
#[doc(hidden)]
pub fn initialise_strategy<T: BatchStrategy>(
    slot: &'static LocalKey<RefCell<Option<T>>>,
    model: &BatchModel,
) -> Result<(), types::Error> {
    report_panics();
    slot.set(Some(T::new(model)?));
    Ok(())
}

/// What [`export_batching!`] calls for everything else. The host initialises first; one that did not would include nobody.
#[doc(hidden)]
pub fn with_strategy<T, R: Default>(slot: &'static LocalKey<RefCell<Option<T>>>, step: impl FnOnce(&mut T) -> R) -> R {
    slot.with_borrow_mut(|strategy| strategy.as_mut().map(step).unwrap_or_default())
}
