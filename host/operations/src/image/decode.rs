//! From the bytes of a JPEG, PNG or WebP file to pixels.
//!
//! Nothing is allocated for a picture before its size, as its file claims it, was compared with the limits. Memory on the way
//! is charged with the result: what the decoder needs, and the picture in the file's own form. Cost: 5 to 20 ns per pixel.
//!
//! Colours become grey as Pillow's `convert("L")` makes them, transparency is dropped where no fourth channel is asked for,
//! samples of 16 bits are scaled to 8, and palettes, CMYK and YCbCr become red, green and blue.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, metadata::Orientation};
use nereid_tensor::{DataType, Tensor};

use crate::{Budget, OperationError, output::Output, text::blob_bytes};

const OPERATION: &str = "decode-image";

/// Pixels of one picture, whatever the caller asks for: 8192 × 8192. Decoding as many takes a second, and a file of some
/// kilobytes can claim gigapixels.
pub const PIXELS_MAX: u64 = 64 << 20;

/// What decoders hold per pixel beside the result: progressive JPEG keeps three coefficients of two bytes.
const DECODER_BYTES_PER_PIXEL: u64 = 6;

/// How much of a file that is no picture is shown.
const SHOWN_BYTES: usize = 8;

const ACCEPTED: &str = "expected a whole JPEG, PNG or WebP file";

/// The channels of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channels {
    /// As many as the file has: 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha.
    #[default]
    AsStored,
    /// 1.
    Grey,
    /// 3: red, green, blue.
    Rgb,
    /// 4: red, green, blue, and alpha, which is 255 where the file has none.
    Rgba,
}

/// How a picture is decoded.
#[derive(Clone, Copy, Debug)]
pub struct Decode {
    pub channels: Channels,
    /// Pixels stay where the file has them; otherwise the picture is turned upright as its EXIF orientation says, as
    /// OpenCV and DALI do, and Pillow with `exif_transpose`.
    pub keep_orientation: bool,
    /// Larger pictures are refused; never more than [`PIXELS_MAX`].
    pub pixels_max: u64,
}

/// Element `index` of a BYTES tensor, or a UINT8 tensor of one dimension, as UINT8 `[height, width, channels]`.
///
/// # Errors
/// No such element, another format, a broken file, or a picture beyond the limits; the last is found before anything is decoded.
pub fn decode_image(tensor: &Tensor, index: u32, decode: Decode, budget: Budget) -> Result<Tensor, OperationError> {
    let file = file(tensor, index)?;
    let encoded = file.buffer().as_slice();
    let format = accepted_format(encoded)?;
    let mut decoder = ImageReader::with_format(Cursor::new(encoded), format).into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    let pixels = check_size((width, height), decode.pixels_max)?;
    let channels = decode.channels.count(decoder.color_type().channel_count());
    let own_bytes = decoder.total_bytes().checked_add(pixels * (DECODER_BYTES_PER_PIXEL + u64::from(channels)));
    budget.check(OPERATION, own_bytes.and_then(|bytes| bytes.checked_mul(2)))?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(broken)?;
    if !decode.keep_orientation {
        picture.apply_orientation(orientation);
    }
    let shape = [picture.height().into(), picture.width().into(), channels.into()];
    let mut output = Output::new(OPERATION, DataType::Uint8, shape.into(), budget)?;
    write(picture, channels, output.elements());
    output.finish()
}

/// Where the encoded bytes are.
fn file(tensor: &Tensor, index: u32) -> Result<Tensor, OperationError> {
    match tensor.data_type() {
        DataType::Bytes => blob_bytes(tensor, index)
            .map_err(|_| OperationError::argument(OPERATION, format_args!("there is no element {index}"))),
        // Another process must not change the file while it is read.
        DataType::Uint8 if tensor.shape().len() == 1 && index == 0 => {
            tensor.clone().into_private().map_err(|error| OperationError::argument(OPERATION, error))
        }
        found => {
            let text =
                format!("expected BYTES, or UINT8 of one dimension and index 0, found {found} and index {index}");
            Err(OperationError::argument(OPERATION, text))
        }
    }
}

/// Puts a picture into memory of its size, in the wanted number of channels.
fn write(picture: DynamicImage, channels: u8, target: &mut [u8]) {
    let pixels = match channels {
        1 if !picture.color().has_color() => picture.into_luma8().into_raw(),
        1 => {
            let colour = picture.into_rgb8().into_raw();
            let grey = colour.as_chunks::<3>().0.iter().map(grey);
            return target.iter_mut().zip(grey).for_each(|(target, grey)| *target = grey);
        }
        2 => picture.into_luma_alpha8().into_raw(),
        3 => picture.into_rgb8().into_raw(),
        _ => picture.into_rgba8().into_raw(),
    };
    target.iter_mut().zip(pixels).for_each(|(target, sample)| *target = sample);
}

/// The weights of ITU-R BT.601 in 16 bits, to the nearest: Pillow's.
fn grey([red, green, blue]: &[u8; 3]) -> u8 {
    let sum = u32::from(*red) * 19_595 + u32::from(*green) * 38_470 + u32::from(*blue) * 7471 + 0x8000;
    u8::try_from(sum >> 16).unwrap_or(u8::MAX)
}

fn accepted_format(encoded: &[u8]) -> Result<ImageFormat, OperationError> {
    let found = match image::guess_format(encoded) {
        Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP)) => return Ok(format),
        Ok(other) => format!("what looks like {other:?}"),
        Err(_) if encoded.is_empty() => return Err(refused("an empty element")),
        Err(_) => "no known image format".to_owned(),
    };
    let shown: Vec<String> = encoded.iter().take(SHOWN_BYTES).map(|byte| format!("{byte:02x}")).collect();
    let length = encoded.len();
    Err(refused(&format!("{found} ({length} bytes, the first are {})", shown.join(" "))))
}

fn refused(found: &str) -> OperationError {
    OperationError::argument(OPERATION, format_args!("{ACCEPTED}, found {found}"))
}

fn broken(error: image::ImageError) -> OperationError {
    refused(&format!("a broken one: {error}"))
}

fn check_size((width, height): (u32, u32), pixels_max: u64) -> Result<u64, OperationError> {
    let (pixels, limit) = (u64::from(width) * u64::from(height), pixels_max.min(PIXELS_MAX));
    if pixels == 0 {
        return Err(refused(&format!("an image of {width} x {height} pixels")));
    }
    if pixels > limit {
        let text = format!("the image has {width} x {height} = {pixels} pixels, the limit is {limit}");
        return Err(OperationError::argument(OPERATION, text));
    }
    Ok(pixels)
}

// === impl Channels ===

impl Channels {
    fn count(self, stored: u8) -> u8 {
        match self {
            Self::AsStored => stored,
            Self::Grey => 1,
            Self::Rgb => 3,
            Self::Rgba => 4,
        }
    }
}

// === impl Decode ===

impl Default for Decode {
    fn default() -> Self {
        Self { channels: Channels::AsStored, keep_orientation: false, pixels_max: PIXELS_MAX }
    }
}

#[cfg(test)]
mod tests;
