//! Encoded images in, the canvas of a detector out: decoded, scaled in their proportions, put in the middle of grey.
//!
//! Input `image`: BYTES `[n, 1]`, each element a whole JPEG, PNG or WebP file. Outputs: `images` FP32
//! `[n, 3, input_height, input_width]`, red, green and blue from 0 to 1; `image_size` INT32 `[n, 2]`, height and width of each
//! image, from which `detection_boxes` finds the way back.
//!
//! Settings `input_width`, `input_height` (640): the detector's input; `pixels_max` (2^24): larger images are refused before they
//! are decoded. Every step is an operation of the host; no pixel comes into the plugin's memory.

mod placing;

use nereid_sdk::{
    Error, Inputs, Request, Response, Tensor, Transform, export_transform,
    operations::{self, Decode, Resampling},
    setting_or,
};

use crate::placing::{Size, place};

/// The grey around an image, out of 255: what YOLO detectors saw there in training.
const MARGIN: f64 = 114.0;

struct Letterbox {
    canvas: Size,
    decode: Decode,
}

// === impl Letterbox ===

impl Transform for Letterbox {
    fn new() -> Result<Self, Error> {
        let canvas = Size { height: setting_or("input_height", 640)?, width: setting_or("input_width", 640)? };
        if canvas.height == 0 || canvas.width == 0 {
            return Err(Error::internal(
                "parameters 'input_width' and 'input_height' of config.pbtxt must be at least 1",
            ));
        }
        let pixels_max = Some(setting_or("pixels_max", 1 << 24)?);
        Ok(Self { canvas, decode: Decode { pixels_max, ..Decode::rgb() } })
    }

    fn run(&mut self, _request: &Request, inputs: Inputs) -> Result<Response, Error> {
        let files = inputs.tensor("image")?;
        let (mut canvases, mut sizes) = (Vec::new(), Vec::new());
        for index in 0..u32::try_from(files.element_count())? {
            let named = |error: Error| error.prefixed(format_args!("element {index} of input 'image': "));
            let image = operations::decode_image(files, index, &self.decode).map_err(named)?;
            let size = size_of_image(&image)?;
            canvases.push(self.on_canvas(&image, size).map_err(named)?);
            sizes.extend([i32::try_from(size.height)?, i32::try_from(size.width)?]);
        }
        let images = operations::stack(&canvases.iter().collect::<Vec<_>>(), 0)?;
        let image_size = Tensor::from_elements(&[canvases.len() as u64, 2], &sizes)?;
        Ok(Response::new().output("images", images).output("image_size", image_size))
    }
}

impl Letterbox {
    /// `[3, height, width]` of the canvas.
    fn on_canvas(&self, image: &Tensor, size: Size) -> Result<Tensor, Error> {
        let placing = place(size, self.canvas);
        let Size { height, width } = placing.scaled;
        let scaled = operations::resize(image, height, width, Resampling::Bilinear)?;
        let sides = |margin: Size| [margin.height, margin.width, 0];
        let framed = operations::pad(&scaled, &sides(placing.before), &sides(placing.after), MARGIN)?;
        operations::to_channels_first(&operations::affine(&framed, &[1.0 / 255.0], &[], -1)?)
    }
}

fn size_of_image(image: &Tensor) -> Result<Size, Error> {
    match *image.shape() {
        [height, width, _] => Ok(Size { height: u32::try_from(height)?, width: u32::try_from(width)? }),
        ref shape => Err(Error::internal(format_args!("a decoded image has shape {shape:?}"))),
    }
}

export_transform!(Letterbox);
