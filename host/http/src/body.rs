//! Gathers a request body into one piece of memory.
//!
//! Promises: a body that arrives in one frame is used as it is, 0 copies. A body in several frames is copied once into
//! memory that is allocated when the second frame arrives, of the announced length, and placed so that the first byte
//! after the JSON is 64-byte aligned: the first binary tensor can be used where it lies. Only a body of unknown length
//! (chunked) may be copied again while it grows, by doubling.
//!
//! Refuses: more bytes than the limit, JSON and binary tensors together, and a chunked body in very many pieces. (Triton checks the JSON alone and lets binary
//! tensors of any size in, which leaves its memory to the clients.) A body that stalls, drips, or breaks off.

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use nereid_inference::InferError;
use nereid_tensor::{ALIGNMENT_BYTES, BufferMut};

use crate::{HttpSettings, error::Refusal};

/// First allocation for a body of unknown length.
const GROWING_BYTES_MIN: usize = 64 << 10;

/// The limits of one body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    bytes_max: usize,
    /// Pieces of a body whose length is not announced.
    chunks_max: usize,
    idle_max: Duration,
    read_max: Duration,
}

/// Pieces copied into one aligned allocation.
pub(crate) struct Gathered {
    buffer: BufferMut,
    /// Bytes left free at the front, so that what follows the JSON is aligned.
    lead_bytes: usize,
    filled_bytes: usize,
    /// The most bytes that can come, beyond which the memory never grows.
    bytes_max: usize,
}

/// Reads a body to its end. `json_bytes` is where its JSON ends, as far as that is known.
///
/// # Errors
/// Too long, too slow, or broken off.
pub(crate) async fn gather<B>(mut body: Pin<&mut B>, limits: BodyLimits, json_bytes: usize) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let announced = body.size_hint().exact();
    if let Some(announced) = announced {
        limits.check(announced)?;
    }
    let started = Instant::now();
    let Some(first) = next_data(body.as_mut(), limits.idle_max).await? else { return Ok(Bytes::new()) };
    let Some(second) = next_data(body.as_mut(), limits.idle_max).await? else {
        limits.check(first.len() as u64)?;
        return Ok(first);
    };
    let mut gathered = Gathered::growing(json_bytes, limits.bytes_max);
    if let Some(announced) = announced {
        gathered.reserve(announced);
    }
    let mut next = Some(second);
    let mut chunks = 1;
    limits.check(first.len() as u64)?;
    gathered.append(&first);
    while let Some(data) = next {
        chunks += 1;
        if announced.is_none() && chunks > limits.chunks_max {
            return Err(Refusal::TooManyChunks { chunks_max: limits.chunks_max });
        }
        limits.check((gathered.len() + data.len()) as u64)?;
        gathered.append(&data);
        if started.elapsed() > limits.read_max {
            return Err(Refusal::SlowBody);
        }
        next = next_data(body.as_mut(), limits.idle_max).await?;
    }
    Ok(gathered.freeze())
}

/// Reads the rest of a body that nobody wants, so that the client sees the answer and can use the connection again.
///
/// Returns whether the end was reached: not when the body is longer or slower than one that would have been served.
pub(crate) async fn drain<B>(mut body: Pin<&mut B>, limits: BodyLimits) -> bool
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let started = Instant::now();
    let mut rest_bytes = limits.bytes_max as u64;
    while body.size_hint().lower() <= rest_bytes && started.elapsed() <= limits.read_max {
        match next_data(body.as_mut(), limits.idle_max).await {
            Ok(Some(data)) => rest_bytes = rest_bytes.saturating_sub(data.len() as u64),
            Ok(None) => return true,
            Err(_) => return false,
        }
        if rest_bytes == 0 && !body.is_end_stream() {
            return false;
        }
    }
    false
}

/// The next frame that carries bytes; `None` at the end.
async fn next_data<B>(mut body: Pin<&mut B>, idle_max: Duration) -> Result<Option<Bytes>, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    while !body.is_end_stream() {
        let frame = tokio::time::timeout(idle_max, body.frame()).await.map_err(|_| Refusal::SlowBody)?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| {
            InferError::invalid_argument(format!("the request body broke off before its end: {error}"))
        })?;
        match frame.into_data() {
            Ok(data) if !data.is_empty() => return Ok(Some(data)),
            _ => {}
        }
    }
    Ok(None)
}

// === impl BodyLimits ===

impl BodyLimits {
    pub(crate) fn new(settings: &HttpSettings) -> Self {
        let limits = &settings.limits;
        Self {
            bytes_max: limits.input_bytes_max,
            chunks_max: limits.chunks_max,
            idle_max: limits.body_idle_max,
            read_max: limits.body_read_max,
        }
    }

    /// The limits of a body that is only read to be dropped, of a client that may not send one.
    pub(crate) fn of_strangers(settings: &HttpSettings) -> Self {
        let limits = Self::new(settings);
        let read_max = settings.limits.denied_body_read_max;
        Self { idle_max: limits.idle_max.min(read_max), read_max: limits.read_max.min(read_max), ..limits }
    }

    /// Refuses a body of `length_bytes`.
    fn check(self, length_bytes: u64) -> Result<(), InferError> {
        if length_bytes <= self.bytes_max as u64 {
            return Ok(());
        }
        Err(InferError::invalid_argument(format!(
            "request JSON size of {length_bytes} bytes exceeds the maximum allowed input size of {} bytes. Use \
             --http-max-input-size to increase the limit.",
            self.bytes_max
        )))
    }
}

// === impl Gathered ===

impl Gathered {
    /// No memory yet, for at most `bytes_max` bytes whose JSON ends at `json_bytes`.
    pub(crate) fn growing(json_bytes: usize, bytes_max: usize) -> Self {
        let lead_bytes = json_bytes.wrapping_neg() % ALIGNMENT_BYTES;
        Self { buffer: BufferMut::zeroed(0), lead_bytes, filled_bytes: 0, bytes_max }
    }

    pub(crate) fn len(&self) -> usize {
        self.filled_bytes
    }

    /// Bytes of memory held.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.len()
    }

    /// Adds bytes at the end. The caller has checked that they are within the limit.
    pub(crate) fn append(&mut self, data: &[u8]) {
        let start = self.lead_bytes + self.filled_bytes;
        let end = start + data.len();
        if end > self.buffer.len() {
            let doubled = (self.buffer.len() * 2).max(GROWING_BYTES_MIN).min(self.lead_bytes + self.bytes_max);
            self.grow(end.max(doubled));
        }
        if let Some(slots) = self.buffer.as_mut_slice().get_mut(start..end) {
            slots.copy_from_slice(data);
        }
        self.filled_bytes += data.len();
    }

    pub(crate) fn freeze(self) -> Bytes {
        if self.filled_bytes == 0 {
            return Bytes::new();
        }
        self.buffer.freeze().into_bytes().slice(self.lead_bytes..self.lead_bytes + self.filled_bytes)
    }

    /// Memory for a body of known length, so that nothing is copied again.
    fn reserve(&mut self, length_bytes: u64) {
        let length_bytes = usize::try_from(length_bytes).unwrap_or(usize::MAX).min(self.bytes_max);
        self.grow(self.lead_bytes + length_bytes);
    }

    fn grow(&mut self, needed_bytes: usize) {
        let mut larger = BufferMut::zeroed(needed_bytes);
        let filled = self.buffer.as_slice();
        if let Some(slots) = larger.as_mut_slice().get_mut(..filled.len()) {
            slots.copy_from_slice(filled);
        }
        self.buffer = larger;
    }
}
