//! From the bytes of an image file to the numbers that the digit models were trained on.
//!
//! `examples/vision/preprocess.py` says what is right; this gives the same numbers. Nothing here asks the host.
//! Cost in the sandbox: 20 to 50 ns per pixel, nearly all of it decoding. Memory: at most 11 bytes per pixel, beside the file.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Rgb, imageops};
use nereid_sdk::Error;

/// Rows and columns of what the models take.
pub const SIDE: u32 = 28;

/// The largest image that is decoded: any photograph of 16 megapixels. A file of some kilobytes can claim to hold
/// gigapixels; at 11 bytes per pixel this is 176 MiB, which fits the 256 MiB that the host gives a plugin.
pub const PIXELS_MAX: u64 = 16 << 20;

/// Mean and standard deviation of the training data.
const MEAN: f32 = 0.3;
const STD: f32 = 0.35;

/// How much of a file that is no image is shown.
const SHOWN_BYTES: usize = 8;

const ACCEPTED: &str = "expected a whole PNG or JPEG file";

/// The picture in grey, at 28 x 28.
///
/// # Errors
/// Another format, a broken file, or more than `pixels_max` pixels; the last is found before anything is decoded.
pub fn decode(encoded: &[u8], pixels_max: u64) -> Result<GrayImage, Error> {
    let format = accepted_format(encoded)?;
    let broken = |error| Error::invalid_argument(format_args!("{ACCEPTED}, found a broken one: {error}"));
    let decoder = ImageReader::with_format(Cursor::new(encoded), format).into_decoder().map_err(broken)?;
    check_size(decoder.dimensions(), pixels_max)?;
    let grey = grey(DynamicImage::from_decoder(decoder).map_err(broken)?);
    Ok(imageops::resize(&grey, SIDE, SIDE, imageops::FilterType::Triangle))
}

/// Row by row, numbers around zero.
pub fn normalised(grey: GrayImage) -> impl Iterator<Item = f32> {
    grey.into_raw().into_iter().map(|value| (f32::from(value) / 255.0 - MEAN) / STD)
}

/// Weights in whole numbers, rounded down, as in training; the library's own conversion rounds to the nearest.
fn grey(image: DynamicImage) -> GrayImage {
    if let DynamicImage::ImageLuma8(grey) = image {
        return grey;
    }
    let colour = image.into_rgb8();
    let weigh = |Rgb([r, g, b]): &Rgb<u8>| (2126 * u32::from(*r) + 7152 * u32::from(*g) + 722 * u32::from(*b)) / 10_000;
    let mut grey = GrayImage::new(colour.width(), colour.height());
    for (target, source) in grey.iter_mut().zip(colour.pixels()) {
        *target = u8::try_from(weigh(source)).unwrap_or(u8::MAX);
    }
    grey
}

fn accepted_format(encoded: &[u8]) -> Result<ImageFormat, Error> {
    match image::guess_format(encoded) {
        Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg)) => Ok(format),
        Ok(other) => Err(not_accepted(encoded, &format!("what looks like {other:?}"))),
        Err(_) => Err(not_accepted(encoded, "no known image format")),
    }
}

fn not_accepted(encoded: &[u8], found: &str) -> Error {
    let length = encoded.len();
    if length == 0 {
        return Error::invalid_argument(format_args!("{ACCEPTED}, found an empty element"));
    }
    let shown: Vec<String> = encoded.iter().take(SHOWN_BYTES).map(|byte| format!("{byte:02x}")).collect();
    let shown = shown.join(" ");
    Error::invalid_argument(format_args!("{ACCEPTED}, found {found} ({length} bytes, the first are {shown})"))
}

fn check_size((width, height): (u32, u32), pixels_max: u64) -> Result<(), Error> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err(Error::invalid_argument(format_args!("{ACCEPTED}, found an image of {width} x {height} pixels")));
    }
    if pixels > pixels_max {
        let text = format!(
            "the image has {width} x {height} = {pixels} pixels, the limit is {pixels_max}: send a smaller image \
             (the operator can raise parameter 'pixels_max' in config.pbtxt)"
        );
        return Err(Error::invalid_argument(text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use image::{ImageBuffer, Luma, Rgba};

    use super::*;

    fn file(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        image.into().write_to(&mut file, format).unwrap();
        file.into_inner()
    }

    /// Every pixel another colour.
    fn pattern(width: u32, height: u32) -> image::RgbImage {
        ImageBuffer::from_fn(width, height, |x, y| {
            let channel = |a: u32, b: u32| ((x * a + y * b) % 256) as u8;
            Rgb([channel(5, 3), channel(2, 7), channel(11, 1)])
        })
    }

    fn refused(encoded: &[u8], expected: &str) {
        let error = decode(encoded, PIXELS_MAX).unwrap_err();
        assert_eq!(error.code(), nereid_sdk::ErrorCode::InvalidArgument);
        assert_eq!(error.message(), expected);
    }

    #[test]
    fn grey_values_are_those_of_the_training_script() {
        // preprocess.resize_triangle(preprocess.decode_grey(png of pattern(40, 33)), 28, 28)
        let grey = decode(&file(pattern(40, 33), ImageFormat::Png), PIXELS_MAX).unwrap();
        let row = |y: u32| -> Vec<u8> { (0..8).map(|x| grey.get_pixel(x, y)[0]).collect() };
        assert_eq!(row(0), [2, 6, 11, 16, 20, 25, 30, 34]);
        assert_eq!(row(13), [89, 93, 98, 102, 107, 112, 117, 121]);
        assert_eq!(grey.iter().map(|value| u64::from(*value)).sum::<u64>(), 103_388);
    }

    #[test]
    fn a_jpeg_gives_nearly_what_the_same_picture_as_png_gives() {
        let smooth: GrayImage = ImageBuffer::from_fn(64, 48, |x, y| Luma([(x * 2 + y * 2) as u8]));
        let png = decode(&file(smooth.clone(), ImageFormat::Png), PIXELS_MAX).unwrap();
        let jpeg = decode(&file(smooth, ImageFormat::Jpeg), PIXELS_MAX).unwrap();
        assert!(png.iter().zip(jpeg.iter()).all(|(left, right)| left.abs_diff(*right) <= 3));
    }

    #[test]
    fn alpha_does_not_matter() {
        let colour = pattern(9, 9);
        let faint: image::RgbaImage = ImageBuffer::from_fn(9, 9, |x, y| {
            let Rgb([r, g, b]) = *colour.get_pixel(x, y);
            Rgba([r, g, b, 7])
        });
        let with = decode(&file(faint, ImageFormat::Png), PIXELS_MAX).unwrap();
        assert_eq!(with, decode(&file(colour, ImageFormat::Png), PIXELS_MAX).unwrap());
    }

    #[test]
    fn black_and_white_become_the_ends_of_the_scale() {
        let grey = GrayImage::from_raw(2, 1, vec![0, 255]).unwrap();
        assert_eq!(normalised(grey).collect::<Vec<_>>(), [-0.3 / 0.35, (1.0 - 0.3) / 0.35]);
    }

    #[test]
    fn other_formats_are_named() {
        refused(
            b"GIF89a\x01\x00\x01\x00",
            "expected a whole PNG or JPEG file, found what looks like Gif (10 bytes, the first are 47 49 46 38 39 61 01 00)",
        );
        refused(
            b"hello",
            "expected a whole PNG or JPEG file, found no known image format (5 bytes, the first are 68 65 6c 6c 6f)",
        );
        refused(b"", "expected a whole PNG or JPEG file, found an empty element");
    }

    #[test]
    fn a_truncated_file_is_refused() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg] {
            let whole = file(pattern(30, 30), format);
            let error = decode(&whole[..30], PIXELS_MAX).unwrap_err();
            assert!(error.message().contains("found a broken one"), "{error}");
        }
    }

    #[test]
    fn an_image_over_the_limit_is_refused_before_it_is_decoded() {
        let mut bomb = file(pattern(8, 8), ImageFormat::Png);
        // The header's width and height; its checksum follows the 17 bytes of type and content.
        bomb[16..20].copy_from_slice(&65_535_u32.to_be_bytes());
        bomb[20..24].copy_from_slice(&65_535_u32.to_be_bytes());
        let sum = checksum(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&sum.to_be_bytes());
        let error = decode(&bomb, PIXELS_MAX).unwrap_err();
        let expected = "the image has 65535 x 65535 = 4294836225 pixels, the limit is 16777216";
        assert!(error.message().starts_with(expected), "{error}");
    }

    /// CRC-32 as PNG wants it.
    fn checksum(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 * (sum & 1)))
        })
    }
}
