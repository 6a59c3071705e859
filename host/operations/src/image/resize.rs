//! More or fewer rows and columns, as Pillow and OpenCV make them: within one level of theirs for UINT8, two for Lanczos.
//!
//! Channels are independent of each other, alpha too; Pillow alone weighs colours by alpha. Cost: 1 to 5 ns per element of the
//! source for the antialiased filters, in the processor's vector instructions.
//!
//! The library's loops are compiled here, once for each form of pixel. Grey and colour have their own; other images are resized
//! plane by plane, which costs two passes more and saves the compiler minutes.

use bytemuck::Pod;
use fast_image_resize::{
    FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::{F32, F32x3, U8, U8x3},
};
use nereid_tensor::{DataType, Tensor};

use super::frame::Frame;
use crate::{Budget, OperationError, number::numbers, output::Output};

const OPERATION: &str = "resize";

/// Pixels of one resized picture: as many as a picture can have that is decoded.
pub const RESIZED_PIXELS_MAX: u64 = super::PIXELS_MAX;

/// What a pixel of the result is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// The pixel in whose middle it lies.
    Nearest,
    /// The four around it, whatever lies between them: OpenCV's `INTER_LINEAR`, PyTorch's `interpolate`.
    Bilinear,
    /// The mean of what it covers: Pillow's `BOX`, OpenCV's `INTER_AREA`.
    AntialiasedBox,
    /// Weights that fall in a line: Pillow's `BILINEAR`, torchvision's default.
    AntialiasedBilinear,
    /// Pillow's `BICUBIC`.
    AntialiasedBicubic,
    /// Three lobes: Pillow's `LANCZOS`.
    AntialiasedLanczos,
}

/// The new size.
#[derive(Clone, Copy, Debug)]
pub struct Resize {
    /// Number of rows.
    pub height: u32,
    /// Number of columns.
    pub width: u32,
    pub filter: Filter,
}

/// Pictures of UINT8 or FP32 with 1 to 4 channels at another size; the ratio of the sides is the caller's affair.
///
/// # Errors
/// Another type or number of channels, a side of zero, or too many pixels.
pub fn resize(tensor: &Tensor, resize: Resize, budget: Budget) -> Result<Tensor, OperationError> {
    let frame = Frame::of(OPERATION, tensor)?;
    check_type(tensor, frame)?;
    check_sizes(frame, resize)?;
    let (height, width) = (u64::from(resize.height), u64::from(resize.width));
    let mut output = Output::new(OPERATION, tensor.data_type(), frame.resized(height, width), budget)?;
    // Beside the result: the new columns in the old rows, and one plane before and after.
    let pixels =
        (height * width).checked_add(frame.height * frame.width).and_then(|n| n.checked_add(width * frame.height));
    let size = tensor.data_type().size_bytes().unwrap_or_default() as u64 * frame.channels;
    budget.check(OPERATION, pixels.and_then(|pixels| pixels.checked_mul(size)))?;
    match (tensor.data_type(), frame.channels) {
        (DataType::Uint8, 1) => whole::<u8, U8>(&numbers(tensor), output.elements(), frame, resize)?,
        (DataType::Uint8, 3) => whole::<u8, U8x3>(&numbers(tensor), output.elements(), frame, resize)?,
        (DataType::Uint8, _) => planes::<u8, U8>(&numbers(tensor), output.elements(), frame, resize)?,
        (_, 1) => whole::<f32, F32>(&numbers(tensor), output.elements(), frame, resize)?,
        (_, 3) => whole::<f32, F32x3>(&numbers(tensor), output.elements(), frame, resize)?,
        _ => planes::<f32, F32>(&numbers(tensor), output.elements(), frame, resize)?,
    }
    output.finish()
}

fn check_type(tensor: &Tensor, frame: Frame) -> Result<(), OperationError> {
    let found = tensor.data_type();
    if matches!(found, DataType::Uint8 | DataType::Fp32) && (1..=4).contains(&frame.channels) {
        return Ok(());
    }
    let channels = frame.channels;
    let text = format!("the image is of {found} with {channels} channels, expected UINT8 or FP32 with 1 to 4 channels");
    Err(OperationError::argument(OPERATION, text))
}

fn check_sizes(frame: Frame, resize: Resize) -> Result<(), OperationError> {
    let Resize { height, width, .. } = resize;
    if height == 0 || width == 0 || frame.height == 0 || frame.width == 0 {
        let (rows, columns) = (frame.height, frame.width);
        let text = format!("an image of {rows} x {columns} cannot become one of {height} x {width}");
        return Err(OperationError::argument(OPERATION, text));
    }
    let pixels = u64::from(height) * u64::from(width);
    if pixels > RESIZED_PIXELS_MAX {
        let text = format!("{height} x {width} are {pixels} pixels, the limit is {RESIZED_PIXELS_MAX}");
        return Err(OperationError::limit(OPERATION, text));
    }
    Ok(())
}

/// Picture by picture, in the library's form `P` of a pixel.
fn whole<T: Pod, P: PixelTrait>(from: &[T], to: &mut [T], frame: Frame, resize: Resize) -> Result<(), OperationError> {
    let channels = frame.channels as usize;
    let (from_length, to_length) = lengths(frame, resize);
    let pictures = from.chunks(from_length * channels).zip(to.chunks_mut(to_length * channels));
    for (from, to) in pictures {
        picture::<P>(bytemuck::cast_slice(from), bytemuck::cast_slice_mut(to), frame, resize)?;
    }
    Ok(())
}

/// Picture by picture, and of each plane by plane.
fn planes<T: Pod, P: PixelTrait>(from: &[T], to: &mut [T], frame: Frame, resize: Resize) -> Result<(), OperationError> {
    let channels = frame.channels as usize;
    let (from_length, to_length) = lengths(frame, resize);
    let mut plane: Vec<T> = Vec::with_capacity(from_length);
    let mut resized = vec![T::zeroed(); to_length];
    let pictures = from.chunks(from_length * channels).zip(to.chunks_mut(to_length * channels));
    for (from, to) in pictures {
        for channel in 0..channels {
            plane.clear();
            plane.extend(from.iter().skip(channel).step_by(channels));
            picture::<P>(bytemuck::cast_slice(&plane), bytemuck::cast_slice_mut(&mut resized), frame, resize)?;
            let places = to.iter_mut().skip(channel).step_by(channels);
            places.zip(&resized).for_each(|(place, value)| *place = *value);
        }
    }
    Ok(())
}

/// Pixels of one picture before and after; both are within tensors that exist.
fn lengths(frame: Frame, resize: Resize) -> (usize, usize) {
    ((frame.height * frame.width) as usize, resize.height as usize * resize.width as usize)
}

/// One picture, columns and rows in the order that the filter needs.
fn picture<P: PixelTrait>(from: &[u8], to: &mut [u8], frame: Frame, resize: Resize) -> Result<(), OperationError> {
    let extent = |extent: u64| u32::try_from(extent).map_err(|error| OperationError::argument(OPERATION, error));
    let (height, width) = (extent(frame.height)?, extent(frame.width)?);
    let is_cut_off = P::components_is_u8() && resize.filter.overshoots();
    if !is_cut_off || height == resize.height || width == resize.width {
        return pass::<P>(Pass { height, width, pixels: from }, to, resize);
    }
    // Between the passes, values are cut off at black and white. Pillow has new columns before new rows, the library has them
    // after.
    let mut between = vec![0; height as usize * resize.width as usize * P::size()];
    pass::<P>(Pass { height, width, pixels: from }, &mut between, Resize { height, ..resize })?;
    pass::<P>(Pass { height, width: resize.width, pixels: &between }, to, resize)
}

/// What one pass reads.
struct Pass<'a> {
    height: u32,
    width: u32,
    pixels: &'a [u8],
}

fn pass<P: PixelTrait>(from: Pass<'_>, to: &mut [u8], resize: Resize) -> Result<(), OperationError> {
    let failed = |error: &dyn std::fmt::Display| OperationError::argument(OPERATION, error);
    let from = TypedImageRef::<P>::from_buffer(from.width, from.height, from.pixels).map_err(|error| failed(&error))?;
    let to = TypedImage::<P>::from_buffer(resize.width, resize.height, to);
    let mut to = to.map_err(|error| failed(&error))?;
    let options = ResizeOptions::new().resize_alg(resize.filter.algorithm()).use_alpha(false);
    Resizer::new().resize_typed(&from, &mut to, &options).map_err(|error| failed(&error))
}

// === impl Filter ===

impl Filter {
    /// Whether results can lie outside of what goes in.
    fn overshoots(self) -> bool {
        matches!(self, Self::AntialiasedBicubic | Self::AntialiasedLanczos)
    }

    fn algorithm(self) -> ResizeAlg {
        match self {
            Self::Nearest => ResizeAlg::Nearest,
            Self::Bilinear => ResizeAlg::Interpolation(FilterType::Bilinear),
            Self::AntialiasedBox => ResizeAlg::Convolution(FilterType::Box),
            Self::AntialiasedBilinear => ResizeAlg::Convolution(FilterType::Bilinear),
            Self::AntialiasedBicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
            Self::AntialiasedLanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
        }
    }
}

#[cfg(test)]
mod tests {
    use nereid_tensor::{Buffer, Shape};

    use super::*;
    use crate::Fault;

    const HALF: Resize = Resize { height: 1, width: 2, filter: Filter::AntialiasedBox };

    fn run(shape: &[u64], to: Resize) -> Result<Tensor, OperationError> {
        let count = shape.iter().product::<u64>() as u8;
        let image = Tensor::from_elements(Shape::new(shape), &(0..count).collect::<Vec<_>>()).unwrap();
        resize(&image, to, Budget::new(1 << 20))
    }

    #[test]
    fn a_box_is_the_mean_of_what_it_covers_in_every_picture() {
        let found = run(&[2, 2, 4, 1], HALF).unwrap();
        assert_eq!(
            (found.shape().to_vec(), found.elements::<u8>().unwrap().to_vec()),
            (vec![2, 1, 2, 1], vec![3, 5, 11, 13])
        );
    }

    #[test]
    fn channels_of_floats_are_apart() {
        for channels in 1..=4_u8 {
            let pixels: Vec<f32> = (0..4 * channels).map(f32::from).collect();
            let image = Tensor::from_elements([2, 2, u64::from(channels)], &pixels).unwrap();
            let found = resize(&image, Resize { width: 1, ..HALF }, Budget::new(1 << 10)).unwrap();
            let means: Vec<f32> = (0..channels).map(|channel| f32::from(channel) + 1.5 * f32::from(channels)).collect();
            assert_eq!(found.elements::<f32>().unwrap().as_ref(), means);
        }
    }

    #[test]
    fn memory_that_is_not_aligned_is_read_all_the_same() {
        let mut bytes = vec![0];
        bytes.extend_from_slice(bytemuck::cast_slice(&[1.0_f32, 2.0, 3.0, 5.0]));
        let odd = Buffer::from(bytes).slice(1..17).unwrap();
        let image = Tensor::new(DataType::Fp32, [1, 4, 1].into(), odd).unwrap();
        let found = resize(&image, HALF, Budget::new(100)).unwrap();
        assert_eq!(found.elements::<f32>().unwrap().as_ref(), [1.5, 4.0]);
    }

    #[test]
    fn what_cannot_be_resized_is_named() {
        let text = |shape: &[u64], to| run(shape, to).unwrap_err().to_string();
        assert_eq!(
            text(&[2, 2], HALF),
            "resize: the image has shape [2,2], expected [height,width,channels] or a batch of such images"
        );
        assert!(text(&[2, 2, 5], HALF).contains("UINT8 with 5 channels, expected UINT8 or FP32 with 1 to 4"));
        assert_eq!(text(&[2, 0, 3], HALF), "resize: an image of 2 x 0 cannot become one of 1 x 2");
        assert!(run(&[2, 2, 1], Resize { width: 0, ..HALF }).is_err());
        let huge = Resize { height: u32::MAX, width: u32::MAX, ..HALF };
        assert_eq!(run(&[2, 2, 1], huge).unwrap_err().fault(), Fault::Limit);
        let large = Resize { height: 2000, width: 2000, ..HALF };
        assert!(run(&[1, 1, 1], large).unwrap_err().to_string().contains("host memory"));
    }
}
