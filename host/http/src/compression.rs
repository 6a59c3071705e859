//! Compressed bodies: `Content-Encoding` of requests, `Accept-Encoding` for responses.
//!
//! Promises: a decompressed body never takes more memory than the limit, whatever it claims to hold; it is unpacked in
//! pieces of [`PIECE_BYTES`] into memory that grows as it fills, and is placed like any other body, so that the first
//! tensor after the JSON can be used where it lies. Work beyond [`INLINE_BYTES_MAX`] bytes, on either side of the codec,
//! runs on a thread that may block, because a small body can unpack to a thousand times its size.
//!
//! Refuses: codings other than gzip and deflate (the zlib container, as HTTP defines it), several at once, data that is
//! cut off, damaged or followed by more. Costs nothing but one header lookup each way when nobody asks for it.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};
use flate2::{
    Compression, Decompress, FlushDecompress, Status,
    bufread::MultiGzDecoder,
    write::{GzEncoder, ZlibEncoder},
};
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::Body;
use nereid_inference::InferError;

use crate::{FrameBody, body::Gathered, error::Refusal};

/// The codings of a request body that are served, for who sends another one.
pub(crate) const CODINGS_SERVED: HeaderValue = HeaderValue::from_static("gzip, deflate");

/// Largest piece of work that is done where it arises: a millisecond or two, no more than JSON of that size costs.
const INLINE_BYTES_MAX: usize = 256 << 10;

/// What is unpacked at once; lives on the stack.
const PIECE_BYTES: usize = 16 << 10;

/// Tensors hardly shrink more at higher levels, which cost several times the time.
const LEVEL: Compression = Compression::fast();

/// How bytes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Deflate,
}

/// How much may come out, and where its JSON ends, as far as that is known.
#[derive(Clone, Copy, Debug)]
pub struct Unpacked {
    pub bytes_max: usize,
    pub json_bytes: usize,
}

/// A body that is being unpacked.
struct Inflation {
    coding: Coding,
    inflater: Inflater,
    gathered: Gathered,
    bytes_max: usize,
}

enum Inflater {
    Gzip(MultiGzDecoder<bytes::buf::Reader<Bytes>>),
    Deflate { state: Decompress, rest: Bytes, is_ended: bool },
}

/// The coding of a request body; `None` when it comes as it is.
///
/// # Errors
/// A coding that is not served, or more than one.
pub(crate) fn request_coding(headers: &HeaderMap) -> Result<Option<Coding>, Refusal> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let name = value.as_bytes().trim_ascii();
    match Coding::named(name) {
        _ if values.next().is_some() => Err(Refusal::Encoding),
        None if !name.is_empty() && !name.eq_ignore_ascii_case(b"identity") => Err(Refusal::Encoding),
        coding => Ok(coding),
    }
}

/// The coding that a client prefers for the response: the highest `q`, the first among equals. `None` is no coding.
///
/// Names that are not served, `*`, and a `q` that is not a number from 0 to 1 count for nothing.
pub(crate) fn response_coding(headers: &HeaderMap) -> Option<Coding> {
    let (mut preferred, mut q_max) = (None, 0.0);
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        for choice in value.to_str().unwrap_or_default().split(',') {
            let mut parts = choice.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().as_bytes();
            let coding = Coding::named(name);
            let is_known = coding.is_some() || name.eq_ignore_ascii_case(b"identity");
            if let Some(q) = quality(parts).filter(|q| is_known && *q > q_max) {
                (preferred, q_max) = (coding, q);
            }
        }
    }
    preferred
}

/// Unpacks a request body. Public for those who have a body and no connection: the fuzz target.
///
/// # Errors
/// Too large once unpacked, or not what its coding says.
pub async fn decompress(body: Bytes, coding: Coding, unpacked: Unpacked) -> Result<Bytes, InferError> {
    let is_small = body.len() <= INLINE_BYTES_MAX;
    let mut inflation = Inflation::new(body, coding, unpacked);
    if is_small && inflation.advance(INLINE_BYTES_MAX)? {
        return Ok(inflation.gathered.freeze());
    }
    blocking(move || {
        inflation.advance(usize::MAX)?;
        Ok(inflation.gathered.freeze())
    })
    .await
}

/// Packs a response. Its header length stays that of the JSON before packing.
///
/// # Errors
/// Only when the thread that packs cannot run.
pub(crate) async fn compress(response: Response<FrameBody>, coding: Coding) -> Result<Response<FrameBody>, InferError> {
    let (mut head, body) = response.into_parts();
    let packed = match body.size_hint().lower() <= INLINE_BYTES_MAX as u64 {
        true => pack(body, coding)?,
        false => blocking(move || pack(body, coding)).await?,
    };
    head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    Ok(Response::from_parts(head, packed.into()))
}

fn pack(body: FrameBody, coding: Coding) -> Result<Vec<u8>, InferError> {
    let mut frames = body.into_frames();
    let packed = match coding {
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), LEVEL);
            frames.try_for_each(|frame| encoder.write_all(&frame)).and_then(|()| encoder.finish())
        }
        Coding::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::new(), LEVEL);
            frames.try_for_each(|frame| encoder.write_all(&frame)).and_then(|()| encoder.finish())
        }
    };
    packed.map_err(|error| InferError::internal("the response could not be compressed").with_source(error))
}

/// The `q` among the parameters of a choice, 1 without one.
fn quality<'a>(parameters: impl Iterator<Item = &'a str>) -> Option<f32> {
    for parameter in parameters {
        if let Some((name, value)) = parameter.split_once('=')
            && name.trim().eq_ignore_ascii_case("q")
        {
            return value.trim().parse().ok().filter(|q| (0.0..=1.0).contains(q));
        }
    }
    Some(1.0)
}

async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, InferError> + Send + 'static,
) -> Result<T, InferError> {
    let outcome = tokio::task::spawn_blocking(act).await;
    outcome.unwrap_or_else(|error| {
        Err(InferError::internal("the thread that compresses bodies failed").with_source(error))
    })
}

// === impl Coding ===

impl Coding {
    fn named(name: &[u8]) -> Option<Self> {
        [Self::Gzip, Self::Deflate].into_iter().find(|coding| name.eq_ignore_ascii_case(coding.name().as_bytes()))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

// === impl Inflation ===

impl Inflation {
    fn new(body: Bytes, coding: Coding, Unpacked { bytes_max, json_bytes }: Unpacked) -> Self {
        let inflater = match coding {
            Coding::Gzip => Inflater::Gzip(MultiGzDecoder::new(body.reader())),
            Coding::Deflate => Inflater::Deflate { state: Decompress::new(true), rest: body, is_ended: false },
        };
        Self { coding, inflater, gathered: Gathered::growing(json_bytes, bytes_max), bytes_max }
    }

    /// Unpacks until `pause_bytes` have come out; returns whether that was all.
    fn advance(&mut self, pause_bytes: usize) -> Result<bool, InferError> {
        let mut piece = [0; PIECE_BYTES];
        while self.gathered.len() < pause_bytes {
            let unpacked = self.inflater.read(&mut piece).map_err(|error| self.broken(&error))?;
            let Some(data) = piece.get(..unpacked).filter(|data| !data.is_empty()) else { return Ok(true) };
            if data.len() > self.bytes_max - self.gathered.len() {
                return Err(self.too_large());
            }
            self.gathered.append(data);
        }
        Ok(false)
    }

    fn too_large(&self) -> InferError {
        InferError::invalid_argument(format!(
            "Decompressed data size exceeds the maximum allowed value of {} bytes. Use --http-max-input-size to \
             increase the limit.",
            self.bytes_max
        ))
    }

    fn broken(&self, error: &io::Error) -> InferError {
        let cause = match error.kind() {
            io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
            _ => error.to_string(),
        };
        InferError::invalid_argument(format!(
            "the request body cannot be decompressed as its 'Content-Encoding: {}' says: {cause}, after {} decompressed \
             bytes; send it again whole, or without compression",
            self.coding.name(),
            self.gathered.len()
        ))
    }
}

// === impl Inflater ===

impl Inflater {
    /// Some of the unpacked bytes; none once they ended as they should.
    fn read(&mut self, slots: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(slots),
            Self::Deflate { is_ended: true, rest, .. } if rest.is_empty() => Ok(0),
            Self::Deflate { is_ended: true, .. } => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "more bytes follow its end"))
            }
            Self::Deflate { state, rest, is_ended } => inflate(state, rest, (slots, is_ended)),
        }
    }
}

/// flate2's own reader takes a cut-off zlib stream for a whole one; this one does not.
fn inflate(state: &mut Decompress, rest: &mut Bytes, (slots, is_ended): (&mut [u8], &mut bool)) -> io::Result<usize> {
    loop {
        let (read, written) = (state.total_in(), state.total_out());
        let status = state.decompress(rest, slots, FlushDecompress::None)?;
        let read = (state.total_in() - read) as usize;
        let written = (state.total_out() - written) as usize;
        rest.advance(read.min(rest.len()));
        *is_ended = status == Status::StreamEnd;
        if written > 0 || *is_ended && rest.is_empty() {
            return Ok(written);
        }
        if *is_ended {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more bytes follow its end"));
        }
        if read == 0 || rest.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

#[cfg(test)]
mod tests;
