//! Where an image lies on a canvas of another shape. Nothing here asks the host.

/// A size in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

/// An image in the middle of a canvas: how large it is there, and how many rows and columns lie before and behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placing {
    /// The image's size on the canvas.
    pub scaled: Size,
    /// Rows above and columns left of it.
    pub before: Size,
    /// Rows below and columns right of it.
    pub after: Size,
}

/// Puts an image onto a canvas as Ultralytics' `LetterBox` does: as large as fits, its proportions kept, an odd margin's smaller
/// half in front.
pub fn place(image: Size, canvas: Size) -> Placing {
    let ratio = |canvas: u32, side: u32| f64::from(canvas) / f64::from(side.max(1));
    let scale = ratio(canvas.width, image.width).min(ratio(canvas.height, image.height));
    // At least a pixel: an image may be a line.
    let scaled = |side: u32, most: u32| ((f64::from(side) * scale).round() as u32).clamp(1, most);
    let scaled = Size { height: scaled(image.height, canvas.height), width: scaled(image.width, canvas.width) };
    let rest = Size { height: canvas.height - scaled.height, width: canvas.width - scaled.width };
    let before = Size { height: rest.height / 2, width: rest.width / 2 };
    let after = Size { height: rest.height - before.height, width: rest.width - before.width };
    Placing { scaled, before, after }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(height: u32, width: u32) -> Size {
        Size { height, width }
    }

    #[test]
    fn an_image_lies_in_the_middle() {
        let placing = place(size(720, 1280), size(640, 640));
        assert_eq!(placing, Placing { scaled: size(360, 640), before: size(140, 0), after: size(140, 0) });
    }

    #[test]
    fn the_smaller_half_of_an_odd_margin_lies_in_front() {
        let placing = place(size(480, 641), size(640, 640));
        assert_eq!(placing, Placing { scaled: size(479, 640), before: size(80, 0), after: size(81, 0) });
    }

    #[test]
    fn small_images_grow_and_lines_stay_visible() {
        assert_eq!(place(size(10, 10), size(640, 640)).scaled, size(640, 640));
        assert_eq!(place(size(1, 5000), size(640, 640)).scaled, size(1, 640));
    }
}
