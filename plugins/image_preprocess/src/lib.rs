//! Encoded images in, the tensor that the digit models take out.
//!
//! Input `image`: BYTES `[n, 1]`, each element a whole PNG or JPEG file. Output `tensor`: FP32 `[n, 1, 28, 28]`.
//! One bad image is the error of its request, and the text says which element, what it is and what is accepted.
//!
//! Setting `pixels_max` (default [`picture::PIXELS_MAX`]): larger images are refused before they are decoded.

mod picture;

use nereid_sdk::{Error, Inputs, Request, Response, Tensor, Transform, export_transform, setting_or};

use crate::picture::{PIXELS_MAX, SIDE};

struct ImagePreprocess {
    pixels_max: u64,
}

// === impl ImagePreprocess ===

impl Transform for ImagePreprocess {
    fn new() -> Result<Self, Error> {
        Ok(Self { pixels_max: setting_or("pixels_max", PIXELS_MAX)? })
    }

    fn run(&mut self, _request: &Request, inputs: Inputs) -> Result<Response, Error> {
        let images = inputs.tensor("image")?;
        let count = u32::try_from(images.element_count())?;
        let mut values = Vec::with_capacity(count as usize * (SIDE * SIDE) as usize);
        // One by one: a batch of encoded images at once would be the larger part of this guest's memory.
        for index in 0..count {
            let encoded = images.blob(index)?;
            let grey = picture::decode(&encoded, self.pixels_max)
                .map_err(|error| error.prefixed(format_args!("element {index} of input 'image': ")))?;
            values.extend(picture::normalised(grey));
        }
        let shape = [count.into(), 1, SIDE.into(), SIDE.into()];
        Ok(Response::new().output("tensor", Tensor::from_f32(&shape, &values)?))
    }
}

export_transform!(ImagePreprocess);
