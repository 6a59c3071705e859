//! PNG and JPEG files as numeric tensors: decoded, resized to what the model wants, its channels in the model's order.

use std::{io::Cursor, str::FromStr};

use half::{bf16, f16};
use image::{DynamicImage, ImageReader, imageops::FilterType};
use nereid_tensor::DataType;

use crate::{
    description::{Layout, TensorDescription, dims_text},
    literal::Elements,
    shapes::Given,
};

const PNG_MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";
const JPEG_MAGIC: &[u8] = b"\xff\xd8\xff";

/// Channels of a model that leaves their number open.
const DEFAULT_CHANNELS: u32 = 3;

/// Mean and deviation of the three channels over ImageNet, as every network trained on it expects.
const IMAGENET: [(f32, f32); 3] = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)];

/// What becomes of the bytes 0 to 255.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// They stay.
    #[default]
    None,
    /// 0 to 1.
    Unit,
    /// 0 to 1, then less the mean and over the deviation of ImageNet.
    Imagenet,
}

/// How the input wants a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    channels: u32,
    /// `None` takes the picture's own.
    height: Option<u32>,
    width: Option<u32>,
    layout: Layout,
    /// The shape has a dimension for the channels.
    has_channel_dim: bool,
    /// The shape begins with a dimension for the pictures.
    has_picture_dim: bool,
}

/// Whether the file begins like a picture.
pub(crate) fn is_picture(file: &[u8]) -> bool {
    file.starts_with(PNG_MAGIC) || file.starts_with(JPEG_MAGIC)
}

/// The picture as the input's elements.
///
/// # Errors
/// The file is damaged, the input's shape is no picture's, or its type cannot hold the scaled values.
pub(crate) fn read(
    file: &[u8],
    input: &TensorDescription,
    has_batching: bool,
    scale: Scale,
) -> Result<Elements, String> {
    let wanted = Wanted::of(input, has_batching)?;
    check_type(input.data_type, scale)?;
    let reader = ImageReader::new(Cursor::new(file)).with_guessed_format().map_err(|error| error.to_string())?;
    let picture = reader.decode().map_err(|error| format!("the picture cannot be decoded: {error}"))?;
    let (width, height) = (wanted.width.unwrap_or(picture.width()), wanted.height.unwrap_or(picture.height()));
    let is_right_size = (picture.width(), picture.height()) == (width, height);
    let picture = if is_right_size { picture } else { picture.resize_exact(width, height, FilterType::Triangle) };
    let samples = samples(&picture, wanted.channels)?;
    let bytes = encode(&samples, wanted, input.data_type, scale)?;
    Ok(Elements { given: Given::Shaped(wanted.dims(height, width)), bytes })
}

/// Row, column, channel.
fn samples(picture: &DynamicImage, channels: u32) -> Result<Vec<u8>, String> {
    match channels {
        1 => Ok(picture.to_luma8().into_raw()),
        3 => Ok(picture.to_rgb8().into_raw()),
        4 => Ok(picture.to_rgba8().into_raw()),
        _ => Err(format!("a picture has 1, 3 or 4 channels, the model wants {channels}")),
    }
}

fn check_type(data_type: DataType, scale: Scale) -> Result<(), String> {
    match data_type {
        DataType::Fp16 | DataType::Bf16 | DataType::Fp32 | DataType::Fp64 => Ok(()),
        DataType::Bool | DataType::Int8 | DataType::Bytes => {
            Err(format!("{data_type} cannot hold the bytes of a picture; give a raw file or a list"))
        }
        _ if scale == Scale::None => Ok(()),
        _ => Err(format!("{data_type} cannot hold scaled values; leave --scale out")),
    }
}

fn encode(samples: &[u8], wanted: Wanted, data_type: DataType, scale: Scale) -> Result<Vec<u8>, String> {
    if scale == Scale::Imagenet && wanted.channels != 3 {
        return Err(format!("--scale imagenet is for 3 channels, the model wants {}", wanted.channels));
    }
    let channels = wanted.channels as usize;
    let mut bytes = Vec::with_capacity(samples.len() * data_type.size_bytes().unwrap_or(1));
    let mut push =
        |channel: usize, sample: u8| push_sample(scale.apply(sample, channel), sample, data_type, &mut bytes);
    match wanted.layout {
        Layout::Interleaved => samples.iter().enumerate().for_each(|(index, sample)| push(index % channels, *sample)),
        Layout::Planar => {
            for channel in 0..channels {
                samples.iter().skip(channel).step_by(channels).for_each(|sample| push(channel, *sample));
            }
        }
    }
    Ok(bytes)
}

fn push_sample(scaled: f32, sample: u8, data_type: DataType, bytes: &mut Vec<u8>) {
    match data_type {
        DataType::Fp16 => bytes.extend_from_slice(&f16::from_f32(scaled).to_le_bytes()),
        DataType::Bf16 => bytes.extend_from_slice(&bf16::from_f32(scaled).to_le_bytes()),
        DataType::Fp32 => bytes.extend_from_slice(&scaled.to_le_bytes()),
        DataType::Fp64 => bytes.extend_from_slice(&f64::from(scaled).to_le_bytes()),
        // Wider integers, little endian: the byte and zeros.
        _ => {
            bytes.push(sample);
            bytes.extend(std::iter::repeat_n(0, data_type.size_bytes().unwrap_or(1) - 1));
        }
    }
}

// === impl Wanted ===

impl Wanted {
    fn of(input: &TensorDescription, has_batching: bool) -> Result<Self, String> {
        let (has_picture_dim, dims) = match input.dims.as_slice() {
            [_, inner @ ..] if has_batching => (true, inner),
            [1 | -1, inner @ ..] if inner.len() == 3 => (true, inner),
            dims => (false, dims),
        };
        let extent = |dim: i64| u32::try_from(dim).ok();
        let channel_counts = [1, 3, 4];
        let wanted = |channels: i64, height, width, layout, has_channel_dim| Self {
            channels: extent(channels).unwrap_or(DEFAULT_CHANNELS),
            height: extent(height),
            width: extent(width),
            layout,
            has_channel_dim,
            has_picture_dim,
        };
        match (dims, input.layout) {
            ([height, width], _) => Ok(wanted(1, *height, *width, Layout::Planar, false)),
            ([channels, height, width], Some(Layout::Planar)) => {
                Ok(wanted(*channels, *height, *width, Layout::Planar, true))
            }
            ([height, width, channels], Some(Layout::Interleaved)) => {
                Ok(wanted(*channels, *height, *width, Layout::Interleaved, true))
            }
            ([channels, height, width], None) if channel_counts.contains(channels) => {
                Ok(wanted(*channels, *height, *width, Layout::Planar, true))
            }
            ([height, width, channels], None) if channel_counts.contains(channels) => {
                Ok(wanted(*channels, *height, *width, Layout::Interleaved, true))
            }
            _ => Err(format!("a picture does not fit shape {}; give a raw file or a list", dims_text(&input.dims))),
        }
    }

    fn dims(self, height: u32, width: u32) -> Vec<u64> {
        let mut dims: Vec<u64> = match (self.has_channel_dim, self.layout) {
            (false, _) => vec![height.into(), width.into()],
            (true, Layout::Planar) => vec![self.channels.into(), height.into(), width.into()],
            (true, Layout::Interleaved) => vec![height.into(), width.into(), self.channels.into()],
        };
        if self.has_picture_dim {
            dims.insert(0, 1);
        }
        dims
    }
}

// === impl Scale ===

impl Scale {
    fn apply(self, sample: u8, channel: usize) -> f32 {
        let (mean, deviation) = IMAGENET.get(channel).copied().unwrap_or((0.0, 1.0));
        match self {
            Self::None => f32::from(sample),
            Self::Unit => f32::from(sample) / 255.0,
            Self::Imagenet => (f32::from(sample) / 255.0 - mean) / deviation,
        }
    }
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "unit" => Ok(Self::Unit),
            "imagenet" => Ok(Self::Imagenet),
            _ => Err("expected 'none', 'unit' or 'imagenet'".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
