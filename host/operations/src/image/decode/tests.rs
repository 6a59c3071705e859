//! What is refused, and when; what is decoded stands in the golden files.

use image::{ImageBuffer, Rgb};

use super::*;
use crate::Fault;

const BUDGET: fn() -> Budget = || Budget::new(1 << 20);

fn file_of(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let picture = ImageBuffer::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, (x * y) as u8]));
    let mut file = Cursor::new(Vec::new());
    DynamicImage::from(picture).write_to(&mut file, format).unwrap();
    file.into_inner()
}

fn run(file: &[u8], decode: Decode) -> Result<Tensor, OperationError> {
    decode_image(&Tensor::from_byte_strings([1], &[file]).unwrap(), 0, decode, BUDGET())
}

fn refusal(file: &[u8]) -> String {
    let error = run(file, Decode::default()).unwrap_err();
    assert_eq!(error.fault(), Fault::Argument);
    error.to_string()
}

/// A PNG whose header says another size; its checksum is right.
fn bomb(width: u32, height: u32) -> Vec<u8> {
    let mut bomb = file_of(8, 8, ImageFormat::Png);
    bomb[16..20].copy_from_slice(&width.to_be_bytes());
    bomb[20..24].copy_from_slice(&height.to_be_bytes());
    let sum = !bomb[12..29].iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 * (sum & 1)))
    });
    bomb[29..33].copy_from_slice(&sum.to_be_bytes());
    bomb
}

#[test]
fn other_formats_are_named() {
    assert_eq!(
        refusal(b"GIF89a\x01\x00\x01\x00"),
        "decode-image: expected a whole JPEG, PNG or WebP file, found what looks like Gif (10 bytes, the first are 47 49 46 38 39 61 01 00)"
    );
    assert!(refusal(b"hello").contains("found no known image format (5 bytes, the first are 68 65 6c 6c 6f)"));
    assert!(refusal(b"").ends_with("found an empty element"));
}

#[test]
fn a_truncated_file_is_refused() {
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
        let whole = file_of(30, 30, format);
        assert!(run(&whole, Decode::default()).is_ok());
        assert!(refusal(&whole[..40]).contains("found a broken one"), "{format:?}");
    }
}

#[test]
fn a_picture_beyond_the_limits_is_refused_before_it_is_decoded() {
    let expected = "decode-image: the image has 65535 x 65535 = 4294836225 pixels, the limit is 67108864";
    assert_eq!(refusal(&bomb(65_535, 65_535)), expected);
    let few = Decode { pixels_max: 63, ..Decode::default() };
    assert!(run(&file_of(8, 8, ImageFormat::Png), few).is_err());
    // Small enough for the first limit, and not for the call's memory.
    let error = run(&bomb(1000, 1000), Decode::default()).unwrap_err();
    assert_eq!(error.fault(), Fault::Limit);
    assert!(error.to_string().contains("are left of the call's host memory"), "{error}");
}

#[test]
fn a_file_may_be_a_tensor_of_bytes_or_of_numbers() {
    let file = file_of(3, 2, ImageFormat::Png);
    let numbers = Tensor::from_elements([file.len() as u64], &file).unwrap();
    let picture = decode_image(&numbers, 0, Decode::default(), BUDGET()).unwrap();
    assert_eq!(picture.shape().to_vec(), [2, 3, 3]);
    assert!(decode_image(&numbers, 1, Decode::default(), BUDGET()).is_err());
    let blobs = Tensor::from_byte_strings([1], &[file]).unwrap();
    let error = decode_image(&blobs, 1, Decode::default(), BUDGET()).unwrap_err();
    assert_eq!(error.to_string(), "decode-image: there is no element 1");
}
