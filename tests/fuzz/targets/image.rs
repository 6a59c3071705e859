//! Pictures that clients send: JPEG, PNG and WebP files of any kind.
//!
//! What is decoded is resized too, to a size that the input's length decides. Nothing may take more memory than it was given.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nereid_operations::{Budget, Channels, Decode, Filter, Resize, decode_image, resize};
use nereid_tensor::Tensor;

/// Far more than a picture of some kilobytes needs, far less than one can claim.
const BYTES_MAX: u64 = 32 << 20;

fuzz_target!(|data: &[u8]| {
    let Ok(files) = Tensor::from_elements([data.len() as u64], data) else { return };
    let channels = [Channels::AsStored, Channels::Grey, Channels::Rgb, Channels::Rgba];
    let decode = Decode { channels: channels[data.len() % 4], pixels_max: 1 << 18, ..Decode::default() };
    match decode_image(&files, 0, decode, Budget::new(BYTES_MAX)) {
        Err(error) => assert!(error.to_string().len() > 20, "an error that says nothing: {error:?}"),
        Ok(picture) => {
            assert!(picture.byte_size() as u64 <= BYTES_MAX);
            let side = data.len() as u32 % 40 + 1;
            let filter = if data.len() % 3 == 0 { Filter::Bilinear } else { Filter::AntialiasedBicubic };
            let small = resize(&picture, Resize { height: side, width: 7, filter }, Budget::new(BYTES_MAX));
            assert_eq!(small.map(|small| small.shape()[0]), Ok(u64::from(side)));
        }
    }
});
