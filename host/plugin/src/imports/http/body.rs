//! Bodies of plugins' requests and of the answers to them, counted and limited in bytes and in time.

use std::{
    error::Error as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use nereid_telemetry::Usage;
use tokio::time::{Sleep, sleep_until};
use wasmtime_wasi_http::Error;

/// A body on its way; generic over what lives as long as it.
pub(super) struct Metered<B, K = ()> {
    body: B,
    direction: Direction,
    usage: Arc<Usage>,
    bytes_max: u64,
    bytes: u64,
    /// Nobody waits for a frame beyond this time.
    over: Pin<Box<Sleep>>,
    _kept: K,
}

#[derive(Clone, Copy)]
enum Direction {
    Sent,
    Received,
}

// === impl Metered ===

impl<B> Metered<B> {
    pub(super) fn sent(body: B, bytes_max: u64, usage: Arc<Usage>, until: Instant) -> Self {
        Self::new(body, Direction::Sent, (bytes_max, usage), until)
    }

    pub(super) fn received(body: B, bytes_max: u64, usage: Arc<Usage>, until: Instant) -> Self {
        Self::new(body, Direction::Received, (bytes_max, usage), until)
    }

    fn new(body: B, direction: Direction, (bytes_max, usage): (u64, Arc<Usage>), until: Instant) -> Self {
        Self { body, direction, usage, bytes_max, bytes: 0, over: Box::pin(sleep_until(until.into())), _kept: () }
    }

    /// The same body, with something that goes when it goes.
    pub(super) fn keeping<K>(self, kept: K) -> Metered<B, K> {
        let Self { body, direction, usage, bytes_max, bytes, over, .. } = self;
        Metered { body, direction, usage, bytes_max, bytes, over, _kept: kept }
    }
}

impl<B, K> Metered<B, K> {
    fn count(&mut self, bytes: u64) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(bytes);
        let (is_over, limit) = (self.bytes > self.bytes_max, Some(self.bytes_max));
        match self.direction {
            _ if !is_over => {}
            Direction::Sent => return Err(Error::HttpRequestBodySize(limit)),
            Direction::Received => return Err(Error::HttpResponseBodySize(limit)),
        }
        match self.direction {
            Direction::Sent => self.usage.sent_http(bytes),
            Direction::Received => self.usage.received_http(bytes),
        }
        Ok(())
    }
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin, K: Unpin> Body for Metered<B, K> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let counted = frame.map(|frame| {
                let frame = frame?;
                self.count(frame.data_ref().map_or(0, |data| data.len() as u64))?;
                Ok(frame)
            });
            return Poll::Ready(counted);
        }
        self.over.as_mut().poll(context).map(|()| Some(Err(Error::HttpResponseTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The limit of ours that is behind a failure of the connection.
pub(super) fn limit_behind(error: &hyper::Error) -> Option<&Error> {
    error.source()?.downcast_ref()
}
