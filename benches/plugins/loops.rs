//! What a plugin computes by itself, and the same by the host's operations: halve an image and normalise it, rank numbers, decode
//! a picture.

use nereid_sdk::{
    Error, Inputs, Request, Response, Tensor, Transform, export_transform,
    operations::{self, Decode, Resampling},
};

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];
const BEST: usize = 5;

struct Loops;

impl Transform for Loops {
    fn new() -> Result<Self, Error> {
        Ok(Self)
    }

    fn run(&mut self, request: &Request, inputs: Inputs) -> Result<Response, Error> {
        let x = inputs.tensor("X")?;
        let mode = request.parameter("mode");
        let y = match mode.as_ref().and_then(|mode| mode.as_text()) {
            Some("image_loop") => image_loop(&x)?,
            Some("image_host") => image_host(&x)?,
            Some("rank_loop") => rank_loop(&x)?,
            Some("rank_host") => operations::top_k(&operations::softmax(&x, -1)?, BEST as u32, -1)?.values,
            Some("decode_loop") => decode_loop(&x)?,
            Some("decode_host") => operations::decode_image(&x, 0, &Decode::rgb())?,
            other => return Err(Error::invalid_argument(format!("there is no mode {other:?}"))),
        };
        Ok(Response::new().output("Y", y))
    }
}

fn image_loop(x: &Tensor) -> Result<Tensor, Error> {
    let (shape, values) = (x.shape(), x.as_f32()?);
    let (height, width) = (shape[0] as usize, shape[1] as usize);
    let mut halved = Vec::with_capacity(values.len() / 4);
    for rows in values.chunks_exact(2 * width * 3) {
        let (upper, lower) = rows.split_at(width * 3);
        for (above, below) in upper.chunks_exact(6).zip(lower.chunks_exact(6)) {
            for channel in 0..3 {
                let total = above[channel] + above[channel + 3] + below[channel] + below[channel + 3];
                halved.push((total / 4.0 / 255.0 - MEAN[channel]) / DEVIATION[channel]);
            }
        }
    }
    Tensor::from_f32(&[height as u64 / 2, width as u64 / 2, 3], &halved)
}

fn image_host(x: &Tensor) -> Result<Tensor, Error> {
    let shape = x.shape();
    let halved = operations::resize(x, shape[0] as u32 / 2, shape[1] as u32 / 2, Resampling::AntialiasedBox)?;
    operations::normalise(&halved, 1.0 / 255.0, &MEAN, &DEVIATION, -1)
}

fn decode_loop(x: &Tensor) -> Result<Tensor, Error> {
    let picture = image::load_from_memory(&x.blob(0)?).map_err(Error::invalid_argument)?.into_rgb8();
    Tensor::from_elements(&[picture.height().into(), picture.width().into(), 3], picture.as_raw())
}

fn rank_loop(x: &Tensor) -> Result<Tensor, Error> {
    let values = x.as_f32()?;
    let highest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut powers: Vec<f32> = values.iter().map(|value| (value - highest).exp()).collect();
    let total: f32 = powers.iter().sum();
    powers.sort_unstable_by(|a, b| b.total_cmp(a));
    let best: Vec<f32> = powers.iter().take(BEST).map(|power| power / total).collect();
    Tensor::from_f32(&[BEST as u64], &best)
}

export_transform!(Loops);
