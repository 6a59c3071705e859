//! Encoded images in, the tensor that the digit models take out.
//!
//! Input `image`: BYTES `[n, 1]`, each element a whole JPEG, PNG or WebP file. Output `tensor`: FP32 `[n, 1, 28, 28]`.
//! One bad image is the error of its request, and the text says which element, what it is and what is accepted.
//!
//! Setting `pixels_max` (2^24): larger images are refused before they are decoded. Every step is an operation of the host; no
//! pixel comes into the plugin's memory.
//!
//! `examples/vision/preprocess.py` says what is right. This is within one level of 255 of it, because a picture that shrinks
//! is rounded once between columns and rows here and not there, and within two for JPEG, whose decoders round in their own ways.

use nereid_sdk::{
    Error, Inputs, Request, Response, Tensor, Transform, export_transform,
    operations::{self, Decode, Resampling},
    setting_or,
};

/// Rows and columns of what the models take.
const SIDE: u32 = 28;

/// Any photograph of 16 megapixels. A file of some kilobytes can claim to hold gigapixels.
const PIXELS_MAX: u64 = 16 << 20;

/// Mean and standard deviation of the training data, whose values go from 0 to 1.
const MEAN: f32 = 0.3;
const STD: f32 = 0.35;

struct ImagePreprocess {
    decode: Decode,
}

// === impl ImagePreprocess ===

impl Transform for ImagePreprocess {
    fn new() -> Result<Self, Error> {
        let pixels_max = Some(setting_or("pixels_max", PIXELS_MAX)?);
        Ok(Self { decode: Decode { pixels_max, ..Decode::grey() } })
    }

    fn run(&mut self, _request: &Request, inputs: Inputs) -> Result<Response, Error> {
        let files = inputs.tensor("image")?;
        let count = u32::try_from(files.element_count())?;
        let pictures = (0..count).map(|index| self.picture(files, index)).collect::<Result<Vec<_>, _>>()?;
        let together = operations::stack(&pictures.iter().collect::<Vec<_>>(), 0)?;
        let normalised = operations::normalise(&together, 1.0 / 255.0, &[MEAN], &[STD], -1)?;
        Ok(Response::new().output("tensor", operations::to_channels_first(&normalised)?))
    }
}

impl ImagePreprocess {
    /// Grey, `[28, 28, 1]`.
    fn picture(&self, files: &Tensor, index: u32) -> Result<Tensor, Error> {
        operations::decode_image(files, index, &self.decode)
            .and_then(|picture| operations::resize(&picture, SIDE, SIDE, Resampling::AntialiasedBilinear))
            .map_err(|error| error.prefixed(format_args!("element {index} of input 'image': ")))
    }
}

export_transform!(ImagePreprocess);
