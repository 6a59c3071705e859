//! Does with its inputs what the request's parameter `operation` asks for, through the operations of the host.
//!
//! Whatever comes out is answered as FP32 numbers in `RESULT` and as dimensions in `SHAPE`, so that one model serves all
//! operations; texts come as `TEXTS`. Nothing is computed here.

use nereid_sdk::{
    DataType, Error, Inputs, Request, Response, Tensor, Transform, export_transform,
    operations::{self, Cast, Decode, Resampling, Suppression, Window},
};

struct Operations;

/// What an operation gives.
enum Made {
    Numbers(Tensor),
    Texts(Tensor),
}

impl Transform for Operations {
    fn new() -> Result<Self, Error> {
        Ok(Self)
    }

    fn run(&mut self, request: &Request, inputs: Inputs) -> Result<Response, Error> {
        let (files, numbers) = (inputs.tensor("FILES")?, inputs.tensor("NUMBERS")?);
        let text = |name: &str| request.parameter(name).and_then(|value| value.as_text().map(str::to_owned));
        let number = |name: &str| request.parameter(name).and_then(|value| value.as_i64()).unwrap_or_default();
        let operation = text("operation").unwrap_or_default();
        let made = match operation.as_str() {
            "decode" | "resize" | "crop" => {
                let decode = Decode { channels: number("channels") as u32, ..Decode::default() };
                let image = operations::decode_image(files, 0, &decode)?;
                Made::Numbers(change_image(image, &operation, number("extent") as u32)?)
            }
            "texts" | "base64" | "blob" => change_text(files, &operation)?,
            other => Made::Numbers(compute(numbers, other, number("axis") as i32, number("extent") as u32)?),
        };
        answer(made)
    }
}

fn change_image(image: Tensor, operation: &str, extent: u32) -> Result<Tensor, Error> {
    match operation {
        "resize" => operations::resize(&image, extent, extent, Resampling::AntialiasedBilinear),
        "crop" => operations::crop(&image, Window { top: 1, left: 1, height: extent, width: extent }),
        _ => Ok(image),
    }
}

fn change_text(texts: &Tensor, operation: &str) -> Result<Made, Error> {
    Ok(match operation {
        "base64" => Made::Texts(operations::encode_base64(&operations::decode_base64(texts, false)?, true)?),
        "blob" => Made::Numbers(operations::blob_bytes(texts, 1)?),
        _ => Made::Texts(operations::from_texts(&[texts.element_count()], &operations::texts(texts)?)?),
    })
}

fn compute(numbers: &Tensor, operation: &str, axis: i32, extent: u32) -> Result<Tensor, Error> {
    let three = || numbers.reshape(&[&[1], numbers.shape().as_slice()].concat());
    match operation {
        "cast" => operations::cast(numbers, DataType::Uint8, Cast { round: true, ..Cast::default() }),
        "cast-strictly" => {
            operations::cast(numbers, DataType::Uint8, Cast { refuse_overflow: true, ..Cast::default() })
        }
        "normalise" => operations::normalise(numbers, 0.5, &[1.0], &[4.0], axis),
        "affine" => operations::affine(numbers, &[2.0], &[1.0], axis),
        "to-channels-first" => operations::to_channels_first(&three()?),
        "to-channels-last" => operations::to_channels_last(&three()?),
        "transpose" => operations::transpose(numbers, &[1, 0]),
        "concat" => operations::concat(&[numbers, numbers], axis),
        "stack" => operations::stack(&[numbers, numbers], axis),
        "split" => last_part(operations::split(numbers, &[1, extent], axis)?),
        "pad" => operations::pad(numbers, &[extent, 0], &[0, extent], -1.0),
        "softmax" => operations::softmax(numbers, axis),
        "argmax" => operations::argmax(numbers, axis),
        "top-k" => Ok(operations::top_k(numbers, extent, axis)?.values),
        "top-k-places" => Ok(operations::top_k(numbers, extent, axis)?.indices),
        "suppress" => suppress(numbers),
        other => Err(Error::invalid_argument(format_args!("there is no operation '{other}'"))),
    }
}

fn last_part(parts: Vec<Tensor>) -> Result<Tensor, Error> {
    parts.into_iter().last().ok_or_else(|| Error::internal("there are no parts"))
}

/// Rows of five numbers: a box and its score.
fn suppress(rows: &Tensor) -> Result<Tensor, Error> {
    let parts = operations::split(rows, &[4, 1], 1)?;
    let [boxes, scores] = parts.as_slice() else { return Err(Error::internal("expected two parts")) };
    operations::suppress(boxes, scores, &Suppression { overlap: 0.5, ..Suppression::default() })
}

fn answer(made: Made) -> Result<Response, Error> {
    let (numbers, texts) = match made {
        Made::Numbers(numbers) => (numbers, Tensor::from_blobs::<&str>(&[0], &[])?),
        Made::Texts(texts) => (Tensor::from_f32(&[0], &[])?, texts),
    };
    let shape: Vec<i64> = numbers.shape().iter().map(|extent| *extent as i64).collect();
    let flat = operations::cast(&numbers, DataType::Fp32, Cast::default())?.reshape(&[numbers.element_count()])?;
    let shape = Tensor::from_elements(&[shape.len() as u64], &shape)?;
    Ok(Response::new().output("RESULT", flat).output("SHAPE", shape).output("TEXTS", texts))
}

export_transform!(Operations);
