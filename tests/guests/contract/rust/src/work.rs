//! Every operation of the host once, on small numbers.

use nereid_sdk::{
    DataType, Error, Tensor,
    operations::{self, Cast, Decode, Resampling, Suppression, Window},
};

/// One grey pixel of 200.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGM4AQAAygDJmcpdfgAAAABJRU5ErkJggg==";

/// Name, shape and whole numbers of each result, a line each.
pub(crate) fn all_operations(x: &Tensor) -> Result<String, Error> {
    let mut lines = Vec::new();
    numbers(&x.reshape(&[2, 3])?, &mut lines)?;
    boxes(&mut lines)?;
    pictures(&x.reshape(&[2, 3, 1])?, &mut lines)?;
    texts(&mut lines)?;
    Ok(lines.join("\n"))
}

fn numbers(a: &Tensor, lines: &mut Vec<String>) -> Result<(), Error> {
    let rounding = Cast { round: true, ..Cast::default() };
    lines.push(shown("normalise", &operations::normalise(a, 1.0, &[1.0], &[0.5], -1)?)?);
    lines.push(shown("affine", &operations::affine(a, &[10.0, 20.0, 30.0], &[1.0], -1)?)?);
    let halves = operations::affine(a, &[0.5], &[], -1)?;
    lines.push(shown("round", &operations::cast(&halves, DataType::Int32, rounding)?)?);
    lines.push(shown("transpose", &operations::transpose(a, &[1, 0])?)?);
    lines.push(shown("concat", &operations::concat(&[a, a], 0)?)?);
    lines.push(shown("stack", &operations::stack(&[a, a], 0)?)?);
    lines.push(shown("split", &operations::split(a, &[1, 2], 1)?.remove(1))?);
    lines.push(shown("pad", &operations::pad(a, &[1, 0], &[0, 1], 9.0)?)?);
    let halves = operations::softmax(&Tensor::zeroed(DataType::Fp32, &[2])?, -1)?;
    lines.push(shown("softmax", &operations::affine(&halves, &[100.0], &[], -1)?)?);
    lines.push(shown("argmax", &operations::argmax(a, -1)?)?);
    let ranked = operations::top_k(a, 2, -1)?;
    lines.push(shown("top-k", &ranked.values)?);
    lines.push(shown("top-k", &ranked.indices)?);
    Ok(())
}

fn boxes(lines: &mut Vec<String>) -> Result<(), Error> {
    let corners = [0.0, 0.0, 10.0, 10.0, 0.0, 0.0, 10.0, 9.0, 20.0, 20.0, 30.0, 30.0];
    let boxes = Tensor::from_f32(&[3, 4], &corners)?;
    let scores = Tensor::from_f32(&[3], &[0.5, 0.875, 0.75])?;
    let overlapping = Suppression { overlap: 0.5, ..Suppression::default() };
    lines.push(shown("suppress", &operations::suppress(&boxes, &scores, &overlapping)?)?);
    let best = Suppression { score_min: Some(0.0), kept_max: Some(1), ..overlapping };
    lines.push(shown("suppress", &operations::suppress(&boxes, &scores, &best)?)?);
    Ok(())
}

fn pictures(image: &Tensor, lines: &mut Vec<String>) -> Result<(), Error> {
    let part = Window { top: 0, left: 1, height: 2, width: 2 };
    lines.push(shown("crop", &operations::crop(image, part)?)?);
    lines.push(shown("resize", &operations::resize(image, 1, 6, Resampling::Nearest)?)?);
    let planes = operations::to_channels_first(image)?;
    lines.push(shown("first", &planes)?);
    lines.push(shown("last", &operations::to_channels_last(&planes)?)?);
    Ok(())
}

fn texts(lines: &mut Vec<String>) -> Result<(), Error> {
    let texts = operations::from_texts(&[2], &["cat".to_owned(), "dog".to_owned()])?;
    let encoded = operations::encode_base64(&texts, false)?;
    let decoded = operations::texts(&operations::decode_base64(&encoded, false)?)?;
    lines.push(format!("base64 {} {}", operations::texts(&encoded)?.join(" "), decoded.last().map_or("", |last| last)));
    lines.push(shown("blob", &operations::blob_bytes(&texts, 1)?)?);
    let file = operations::decode_base64(&operations::from_texts(&[1], &[PNG.to_owned()])?, false)?;
    lines.push(shown("decode", &operations::decode_image(&file, 0, &Decode::rgb())?)?);
    Ok(())
}

pub(crate) fn shown(name: &str, tensor: &Tensor) -> Result<String, Error> {
    let whole = operations::cast(tensor, DataType::Int64, Cast::default())?.elements::<i64>()?;
    let whole: Vec<String> = whole.iter().map(i64::to_string).collect();
    let shape: Vec<String> = tensor.shape().iter().map(u64::to_string).collect();
    Ok(format!("{name} [{}] {}", shape.join(","), whole.join(" ")))
}
