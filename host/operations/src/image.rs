//! Pictures: tensors, mostly of UINT8, `[height, width, channels]`, for most operations also with a batch in front.

mod crop;
mod decode;
mod frame;
mod resize;

pub use self::{
    crop::{Window, crop},
    decode::{Channels, Decode, PIXELS_MAX, decode_image},
    resize::{Filter, RESIZED_PIXELS_MAX, Resize, resize},
};
