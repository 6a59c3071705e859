//! From the pixels of a detector's canvas back to those of the image that was put onto it. Nothing here asks the host.
//!
//! A letterboxed image was scaled, without changing its proportions, until it fitted the canvas, and put in the middle; sizes and
//! margins are rounded as in Ultralytics' `LetterBox`, so that no box is a pixel beside its object.

use nereid_sdk::Error;

/// Width and height of what the detector was shown, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Canvas {
    /// Pixels across.
    pub width: f32,
    /// Pixels down.
    pub height: f32,
}

/// How one image lies on the canvas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Pixels of the canvas for one pixel of the image.
    scale: f32,
    left: f32,
    top: f32,
    /// Where boxes end: the image's own size.
    width: f32,
    height: f32,
}

// === impl Canvas ===

impl Canvas {
    /// A canvas of so many pixels.
    ///
    /// # Errors
    /// A side is 0.
    pub fn new(width: u32, height: u32) -> Result<Self, Error> {
        if width == 0 || height == 0 {
            let text =
                "parameters 'input_width' and 'input_height' of config.pbtxt are the detector's input, at least 1";
            return Err(Error::internal(text));
        }
        Ok(Self { width: width as f32, height: height as f32 })
    }

    /// What leaves boxes where they are, within the canvas.
    pub fn itself(self) -> Frame {
        Frame { scale: 1.0, left: 0.0, top: 0.0, width: self.width, height: self.height }
    }

    /// How an image of this height and width lies on the canvas.
    ///
    /// # Errors
    /// A side is not positive.
    pub fn frame(self, height: i32, width: i32) -> Result<Frame, Error> {
        if height <= 0 || width <= 0 {
            let text = format!("is [{height}, {width}], expected the image's height and width in pixels");
            return Err(Error::invalid_argument(text));
        }
        let (height, width) = (height as f32, width as f32);
        let scale = (self.width / width).min(self.height / height);
        let margin = |canvas: f32, side: f32| ((canvas - (side * scale).round()) / 2.0 - 0.1).round();
        Ok(Frame { scale, left: margin(self.width, width), top: margin(self.height, height), width, height })
    }
}

// === impl Frame ===

impl Frame {
    /// Left, top, right and bottom in the image, from the middle, width and height on the canvas. What lies outside of the
    /// image is cut off.
    pub fn corners(&self, [x, y, width, height]: [f32; 4]) -> [f32; 4] {
        let across = |x: f32| ((x - self.left) / self.scale).clamp(0.0, self.width);
        let down = |y: f32| ((y - self.top) / self.scale).clamp(0.0, self.height);
        [across(x - width / 2.0), down(y - height / 2.0), across(x + width / 2.0), down(y + height / 2.0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canvas() -> Canvas {
        Canvas::new(640, 640).unwrap()
    }

    #[test]
    fn a_wide_image_has_margins_above_and_below() {
        let frame = canvas().frame(720, 1280).unwrap();
        assert_eq!(frame.corners([320.0, 320.0, 640.0, 360.0]), [0.0, 0.0, 1280.0, 720.0]);
        assert_eq!(frame.corners([100.0, 240.0, 20.0, 40.0]), [180.0, 160.0, 220.0, 240.0]);
    }

    #[test]
    fn a_high_image_has_margins_left_and_right() {
        let frame = canvas().frame(1280, 640).unwrap();
        assert_eq!(frame.corners([160.0, 0.0, 0.0, 0.0]), [0.0; 4]);
        assert_eq!(frame.corners([480.0, 640.0, 0.0, 0.0]), [640.0, 1280.0, 640.0, 1280.0]);
    }

    #[test]
    fn an_odd_margin_has_its_smaller_half_in_front() {
        // 480 x 641 becomes 479 x 640: of 161 rows, 80 lie above.
        let frame = canvas().frame(480, 641).unwrap();
        assert_eq!((frame.left, frame.top), (0.0, 80.0));
    }

    #[test]
    fn a_box_ends_where_the_image_does() {
        let frame = canvas().frame(720, 1280).unwrap();
        assert_eq!(frame.corners([0.0, 0.0, 2000.0, 2000.0]), [0.0, 0.0, 1280.0, 720.0]);
        assert_eq!(canvas().itself().corners([630.0, 5.0, 40.0, 20.0]), [610.0, 0.0, 640.0, 15.0]);
    }

    #[test]
    fn sizes_that_are_none_are_refused() {
        assert!(canvas().frame(0, 5).unwrap_err().message().starts_with("is [0, 5], expected"));
        assert!(canvas().frame(5, -1).is_err());
        assert!(Canvas::new(640, 0).is_err());
    }
}
