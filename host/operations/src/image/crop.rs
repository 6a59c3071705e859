//! A part of every picture of a tensor. Cost: one copy of what is kept.

use nereid_tensor::Tensor;

use super::frame::Frame;
use crate::{Budget, OperationError, number::numbers, output::Output};

const OPERATION: &str = "crop";

/// Rows and columns that are kept.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The first row.
    pub top: u32,
    /// The first column.
    pub left: u32,
    /// Number of rows.
    pub height: u32,
    /// Number of columns.
    pub width: u32,
}

/// The window of each picture, of elements of any fixed size.
///
/// # Errors
/// BYTES, no pictures, or a window that reaches beyond them.
pub fn crop(tensor: &Tensor, window: Window, budget: Budget) -> Result<Tensor, OperationError> {
    let frame = Frame::of(OPERATION, tensor)?;
    let Some(size) = tensor.data_type().size_bytes() else {
        return Err(OperationError::argument(OPERATION, "the image is a tensor of BYTES: decode it first"));
    };
    let Window { top, left, height, width } = window;
    let bottom = u64::from(top) + u64::from(height);
    let right = u64::from(left) + u64::from(width);
    if bottom > frame.height || right > frame.width {
        let found = format!("rows {top} to {bottom} and columns {left} to {right}");
        let text = format!("the window has {found}, the image has {} rows and {} columns", frame.height, frame.width);
        return Err(OperationError::argument(OPERATION, text));
    }
    let shape = frame.resized(height.into(), width.into());
    let mut output = Output::new(OPERATION, tensor.data_type(), shape, budget)?;
    if output.elements::<u8>().is_empty() {
        return output.finish();
    }
    // All of these are lengths within a tensor that exists.
    let pixel = frame.channels as usize * size;
    let row = frame.width as usize * pixel;
    let kept = left as usize * pixel..right as usize * pixel;
    let bytes = numbers::<u8>(tensor);
    let pictures = bytes.chunks(frame.height as usize * row);
    let rows = pictures.flat_map(|picture| picture.chunks(row).skip(top as usize).take(height as usize));
    for (target, row) in output.elements::<u8>().chunks_mut(kept.len()).zip(rows) {
        target.copy_from_slice(row.get(kept.clone()).unwrap_or_default());
    }
    output.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_beyond_the_image_is_refused_with_both() {
        let image = Tensor::from_elements([2, 3, 1], &[1_u8, 2, 3, 4, 5, 6]).unwrap();
        let run = |top, left, height, width| crop(&image, Window { top, left, height, width }, Budget::new(100));
        assert_eq!(run(1, 1, 1, 2).unwrap().elements::<u8>().unwrap().as_ref(), [5, 6]);
        assert_eq!(run(2, 3, 0, 0).unwrap().element_count(), 0);
        let error = run(1, 0, 2, 3).unwrap_err().to_string();
        assert_eq!(error, "crop: the window has rows 1 to 3 and columns 0 to 3, the image has 2 rows and 3 columns");
        assert!(run(u32::MAX, u32::MAX, u32::MAX, u32::MAX).is_err());
    }
}
