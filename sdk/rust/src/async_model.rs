//! How a type becomes a plugin that executes batches and awaits: several models at once, several clients at once.
//!
//! As of [`Model`](crate::Model) one guest stands for one instance, and gets one batch at a time. What goes on at the same time goes on
//! within `execute`, on one thread: the futures that it awaits together.

use std::{cell::RefCell, future::Future, rc::Rc, thread::LocalKey};

use crate::{
    Error, Outcome, Request,
    bindings::{
        async_model::exports::nereid::plugin_async::model as exported,
        nereid::plugin::{serving, types},
    },
    export::report_panics,
};

/// A model of whole batches whose functions await. Write them as `async fn`.
pub trait AsyncModel: Sized {
    /// Makes the model when its guest starts: read settings and build tables here. No model can be called yet.
    ///
    /// # Errors
    /// The settings make no sense. While the model is loaded, the load fails with this text.
    fn new() -> impl Future<Output = Result<Self, Error>>;

    /// Answers the requests of one batch: one outcome for each, in their order. A model whose configuration does not batch
    /// gets one request at a time.
    ///
    /// What is still awaited when this returns is cancelled, and costs the guest.
    fn execute(&self, batch: Vec<Request>) -> impl Future<Output = Vec<Outcome>>;

    /// Puts things in order before the guest is given up, once all requests have ended.
    fn finalise(&self) -> impl Future<Output = ()> {
        async {}
    }
}

/// Where [`export_async_model!`] keeps the model; calls share it.
#[doc(hidden)]
pub type AsyncInstance<T> = &'static LocalKey<RefCell<Option<Rc<T>>>>;

/// Makes a type that implements [`AsyncModel`] the plugin that this crate builds. Once per crate, which must have
/// `crate-type = ["cdylib"]`.
#[macro_export]
macro_rules! export_async_model {
    ($plugin:ty) => {
        const _: () = {
            use $crate::bindings::{
                async_model::exports::nereid::plugin_async::model as exported, nereid::plugin as host,
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

    $crate::bindings::async_model::export_async_model_bindings!(Exported with_types_in $crate::bindings::async_model);
        };
    };
}

/// What [`export_async_model!`] calls first.
#[doc(hidden)]
pub async fn initialise_async_exported<T: AsyncModel>(slot: AsyncInstance<T>) -> Result<(), types::Error> {
    report_panics();
    let model = T::new().await?;
    slot.set(Some(Rc::new(model)));
    Ok(())
}

/// What [`export_async_model!`] calls per batch.
#[doc(hidden)]
pub async fn execute_async_exported<T: AsyncModel>(
    slot: AsyncInstance<T>,
    batch: Vec<serving::Request>,
) -> Vec<exported::Outcome> {
    let requests = batch.into_iter().map(Request::new).collect();
    let model = slot.with_borrow(Option::clone);
    match model {
        Some(model) => model.execute(requests).await.into_iter().map(exported::Outcome::from).collect(),
        // The host counts outcomes, and says of this plugin that there are none.
        None => Vec::new(),
    }
}

/// What [`export_async_model!`] calls last.
#[doc(hidden)]
pub async fn finalise_async_exported<T: AsyncModel>(slot: AsyncInstance<T>) {
    if let Some(model) = slot.take() {
        model.finalise().await;
    }
}

// === impl Outcome ===

impl From<Outcome> for exported::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Answer(response) => Self::Answer(response.into()),
            Outcome::Failure(error) => Self::Failure(error.into()),
            Outcome::Deferred => Self::Deferred,
            Outcome::Reschedule(states) => Self::Reschedule(serving::Response::from(states).outputs),
        }
    }
}
