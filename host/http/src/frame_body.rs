//! A response body of known length whose parts are sent as they are, without being joined first.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use smallvec::SmallVec;

use crate::trace::Sending;

/// Parts of a body in the order in which they are sent.
#[derive(Debug)]
pub struct FrameBody {
    frames: smallvec::IntoIter<[Bytes; 3]>,
    rest_bytes: u64,
    /// Dropped with the body, which is when the response is sent.
    _sending: Option<Sending>,
}

// === impl FrameBody ===

impl FrameBody {
    /// The parts that were not sent yet.
    pub(crate) fn into_frames(self) -> impl Iterator<Item = Bytes> {
        self.frames
    }

    /// The same body, which tells a trace when it is sent.
    pub(crate) fn traced(self, sending: Option<Sending>) -> Self {
        Self { _sending: sending, ..self }
    }
}

/// No bytes.
impl Default for FrameBody {
    fn default() -> Self {
        Self::from(SmallVec::new())
    }
}

impl From<SmallVec<[Bytes; 3]>> for FrameBody {
    fn from(frames: SmallVec<[Bytes; 3]>) -> Self {
        let rest_bytes = frames.iter().map(|frame| frame.len() as u64).sum();
        Self { frames: frames.into_iter(), rest_bytes, _sending: None }
    }
}

impl From<Vec<u8>> for FrameBody {
    fn from(bytes: Vec<u8>) -> Self {
        SmallVec::from_iter([Bytes::from(bytes)]).into()
    }
}

impl Body for FrameBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let body = self.get_mut();
        let frame = body.frames.find(|frame| !frame.is_empty());
        body.rest_bytes -= frame.as_ref().map_or(0, |frame| frame.len() as u64);
        Poll::Ready(frame.map(|frame| Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest_bytes == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest_bytes)
    }
}
