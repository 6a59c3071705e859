//! How a type becomes a plugin with the whole life of a model whose functions await: an [`AsyncModel`] that knows its configuration, says
//! when it cannot work, and has something to do before it goes.
//!
//! ```no_run
//! use nereid_sdk::{
//!     AsyncModel, Error, FullAsyncModel, Outcome, Request, Response, export_full_async_model, infer, model_ready,
//! };
//!
//! struct Relay;
//!
//! impl AsyncModel for Relay {
//!     async fn new() -> Result<Self, Error> {
//!         Ok(Self)
//!     }
//!
//!     async fn execute(&self, batch: Vec<Request>) -> Vec<Outcome> {
//!         let mut outcomes = Vec::new();
//!         for request in &batch {
//!             outcomes.push(relay(request).await.into());
//!         }
//!         outcomes
//!     }
//! }
//!
//! async fn relay(request: &Request) -> Result<Response, Error> {
//!     infer("digits_cnn").input("image", request.inputs()?.tensor("image")?).await
//! }
//!
//! impl FullAsyncModel for Relay {
//!     async fn is_ready(&self) -> Result<(), Error> {
//!         if model_ready("digits_cnn", None) { Ok(()) } else { Err(Error::internal("digits_cnn is away")) }
//!     }
//! }
//!
//! export_full_async_model!(Relay);
//! ```

use std::future::Future;

use crate::{AsyncModel, ConfigDraft, Error, async_model::AsyncInstance, bindings::nereid::plugin::types};

/// What an [`AsyncModel`] may do besides; everything has a default.
pub trait FullAsyncModel: AsyncModel {
    /// As of [`FullModel::complete_config`](crate::FullModel::complete_config): there is nothing to await.
    ///
    /// # Errors
    /// The load fails with this text.
    fn complete_config(draft: &mut ConfigDraft) -> Result<(), Error> {
        let _ = draft;
        Ok(())
    }

    /// Says why the instance cannot do its work, if it cannot. Asked between two batches, when somebody wants to know whether the model
    /// is ready; no batch is executed while it awaits, and it must be quick (`readiness_ms`).
    ///
    /// # Errors
    /// The model is not ready, for this reason.
    fn is_ready(&self) -> impl Future<Output = Result<(), Error>> {
        async { Ok(()) }
    }

    /// No further request is routed here: answers now what is kept back (`drain_ms`). [`AsyncModel::finalise`] follows when all
    /// requests have ended.
    fn drain(&self) -> impl Future<Output = ()> {
        async {}
    }
}

/// Makes a type that implements [`FullAsyncModel`] the plugin that this crate builds. Once per crate, which must have
/// `crate-type = ["cdylib"]`.
#[macro_export]
macro_rules! export_full_async_model {
    ($plugin:ty) => {
        const _: () = {
            use $crate::bindings::{
                async_model::exports::nereid::plugin_async::model as exported,
                completion::exports::nereid::plugin::completion,
                full_async_model::exports::nereid::plugin_async as additional, nereid::plugin as host,
            };

            ::std::thread_local! {
                static INSTANCE: ::std::cell::RefCell<::std::option::Option<::std::rc::Rc<$plugin>>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }

            struct Exported;

            impl exported::Guest for Exported {
                async fn initialise() -> ::std::result::Result<(), host::types::Error> {
                    $crate::initialise_async_exported(&INSTANCE).await
                }

                async fn execute(
                    batch: ::std::vec::Vec<host::serving::Request>,
                ) -> ::std::vec::Vec<exported::Outcome> {
                    $crate::execute_async_exported(&INSTANCE, batch).await
                }

                async fn finalise() {
                    $crate::finalise_async_exported(&INSTANCE).await;
                }
            }

            impl completion::Guest for Exported {
                fn complete(
                    written: completion::Draft,
                ) -> ::std::result::Result<completion::Draft, host::types::Error> {
                    $crate::complete_exported(written, <$plugin as $crate::FullAsyncModel>::complete_config)
                }
            }

            impl additional::readiness::Guest for Exported {
                async fn check() -> ::std::result::Result<(), host::types::Error> {
                    $crate::is_ready_async_exported(&INSTANCE).await
                }
            }

            impl additional::draining::Guest for Exported {
                async fn drain() {
                    $crate::drain_async_exported(&INSTANCE).await;
                }
            }

    $crate::bindings::async_model::export_async_model_bindings!(Exported with_types_in $crate::bindings::async_model);
    $crate::bindings::completion::export_completion_bindings!(Exported with_types_in $crate::bindings::completion);
    $crate::bindings::full_async_model::export_full_async_model_bindings!(
        Exported with_types_in $crate::bindings::full_async_model
    );
        };
    };
}

/// What [`export_full_async_model!`] calls between batches.
#[doc(hidden)]
pub async fn is_ready_async_exported<T: FullAsyncModel>(slot: AsyncInstance<T>) -> Result<(), types::Error> {
    match slot.with_borrow(Option::clone) {
        Some(model) => Ok(model.is_ready().await?),
        None => Ok(()),
    }
}

/// What [`export_full_async_model!`] calls before the last call.
#[doc(hidden)]
pub async fn drain_async_exported<T: FullAsyncModel>(slot: AsyncInstance<T>) {
    if let Some(model) = slot.with_borrow(Option::clone) {
        model.drain().await;
    }
}
