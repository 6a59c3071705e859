//! Pictures of two pixels, whose every byte can be written down.

use image::{ImageFormat, RgbImage};

use super::*;

/// A PNG of one row: (10, 20, 30) and (40, 50, 60).
fn two_pixels() -> Vec<u8> {
    let picture = RgbImage::from_raw(2, 1, vec![10, 20, 30, 40, 50, 60]).unwrap();
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

fn input(data_type: DataType, dims: &[i64], layout: Option<Layout>) -> TensorDescription {
    TensorDescription { name: "X".to_owned(), data_type, dims: dims.to_vec(), layout, is_optional: false }
}

/// Asserts shape and bytes of the two pixels for an UINT8 input.
#[track_caller]
fn check(dims: &[i64], layout: Option<Layout>, has_batching: bool, shape: &[u64], bytes: &[u8]) {
    let elements = read(&two_pixels(), &input(DataType::Uint8, dims, layout), has_batching, Scale::None);
    assert_eq!(elements, Ok(Elements { given: Given::Shaped(shape.to_vec()), bytes: bytes.to_vec() }));
}

#[track_caller]
fn check_refused(input: &TensorDescription, scale: Scale, expected: &str) {
    assert_eq!(read(&two_pixels(), input, false, scale), Err(expected.to_owned()));
}

#[test]
fn the_layout_is_that_of_the_configuration_or_shows_in_the_shape() {
    let planar = [10, 40, 20, 50, 30, 60];
    let interleaved = [10, 20, 30, 40, 50, 60];
    check(&[3, 1, 2], None, false, &[3, 1, 2], &planar);
    check(&[1, 2, 3], Some(Layout::Interleaved), false, &[1, 2, 3], &interleaved);
    check(&[-1, -1, 3], None, false, &[1, 2, 3], &interleaved);
    check(&[-1, -1, -1], Some(Layout::Planar), false, &[3, 1, 2], &planar);
    check(&[-1, 3, -1, -1], None, true, &[1, 3, 1, 2], &planar);
    check(&[1, 3, 1, 2], None, false, &[1, 3, 1, 2], &planar);
}

#[test]
fn grey_models_get_the_brightness() {
    check(&[1, 2], None, false, &[1, 2], &[19, 49]);
    check(&[1, 1, 2], None, false, &[1, 1, 2], &[19, 49]);
}

#[test]
fn another_size_is_reached_by_resizing() {
    let elements = read(&two_pixels(), &input(DataType::Uint8, &[3, 4, 4], None), false, Scale::None).unwrap();
    assert_eq!((elements.given, elements.bytes.len()), (Given::Shaped(vec![3, 4, 4]), 48));
    assert_eq!((elements.bytes[0], elements.bytes[3]), (10, 40));
}

#[test]
fn floats_may_be_scaled() {
    let floats = |scale| {
        let elements =
            read(&two_pixels(), &input(DataType::Fp32, &[1, 2, 3], Some(Layout::Interleaved)), false, scale).unwrap();
        elements.bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(floats(Scale::None)[..2], [10.0, 20.0]);
    assert_eq!(floats(Scale::Unit)[..2], [10.0 / 255.0, 20.0 / 255.0]);
    assert_eq!(floats(Scale::Imagenet)[1], (20.0 / 255.0 - 0.456) / 0.224);
}

#[test]
fn wider_integers_hold_the_bytes() {
    let elements =
        read(&two_pixels(), &input(DataType::Int32, &[1, 2, 3], Some(Layout::Interleaved)), false, Scale::None)
            .unwrap();
    assert_eq!(elements.bytes[..8], [10, 0, 0, 0, 20, 0, 0, 0]);
}

#[test]
fn inputs_that_no_picture_fits_are_refused_with_their_shape() {
    let text = "a picture does not fit shape [16]; give a raw file or a list";
    check_refused(&input(DataType::Fp32, &[16], None), Scale::None, text);
    let text = "BOOL cannot hold the bytes of a picture; give a raw file or a list";
    check_refused(&input(DataType::Bool, &[3, 1, 2], None), Scale::None, text);
    let text = "UINT8 cannot hold scaled values; leave --scale out";
    check_refused(&input(DataType::Uint8, &[3, 1, 2], None), Scale::Unit, text);
    let text = "--scale imagenet is for 3 channels, the model wants 1";
    check_refused(&input(DataType::Fp32, &[1, 1, 2], None), Scale::Imagenet, text);
    let damaged = read(b"\x89PNG\r\n\x1a\n", &input(DataType::Fp32, &[1, 1, 2], None), false, Scale::None);
    assert!(damaged.unwrap_err().starts_with("the picture cannot be decoded: "));
}
