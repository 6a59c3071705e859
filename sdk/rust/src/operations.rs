//! What plugins do with tensors most often, done by the host: images, layouts, numbers, rankings, texts.
//!
//! ```no_run
//! use nereid_sdk::{Error, Tensor, operations::{self, Decode, Resampling}};
//!
//! /// A photograph as the tensor that an ImageNet model takes.
//! fn preprocess(files: &Tensor, index: u32) -> Result<Tensor, Error> {
//!     let photograph = operations::decode_image(files, index, &Decode::rgb())?;
//!     let small = operations::resize(&photograph, 224, 224, Resampling::AntialiasedBilinear)?;
//!     let normalised = operations::normalise(&small, 1.0 / 255.0, &[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225], -1)?;
//!     operations::to_channels_first(&normalised)
//! }
//! ```
//!
//! Nothing is copied into the plugin's memory, and the host's own speed is that of native code with vector instructions.
//! Results count against the plugin's limit on host memory, the time as its computing time.
//!
//! Axes are counted from the outside, from 0 on; negative ones from the inside, from -1 on.

use crate::{
    DataType, Error, Tensor, Value,
    bindings::nereid::plugin::{operations as host, tensors, types::Parameter},
};

pub use host::{Resampling, Window};

/// How [`decode_image`] reads a file.
#[derive(Clone, Debug, Default)]
pub struct Decode {
    /// 1 (grey), 3 (red, green, blue), 4 (with alpha), or 0 for as many as the file has.
    pub channels: u32,
    /// Pixels stay as they are in the file, instead of being turned upright as its EXIF orientation says.
    pub keep_orientation: bool,
    /// Larger images are refused before they are decoded; the host has a limit of its own, 64 Mi.
    pub pixels_max: Option<u64>,
}

/// How [`cast`] treats what does not fit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cast {
    /// A value that the new type does not hold is an error; otherwise it becomes the nearest that fits, and NaN 0.
    pub refuse_overflow: bool,
    /// Fractions go to the nearest integer, halves to the even one; otherwise they are cut off.
    pub round: bool,
}

/// What [`top_k`] finds.
#[derive(Debug)]
pub struct Ranked {
    /// The elements, the largest first; of the tensor's type.
    pub values: Tensor,
    /// Their places along the axis, INT64.
    pub indices: Tensor,
}

/// What [`suppress`] keeps.
#[derive(Clone, Debug, Default)]
pub struct Suppression<'a> {
    /// A number for each box; boxes of different classes leave each other alone.
    pub classes: Option<&'a Tensor>,
    /// Intersection over union, 0 to 1, above which the box with the lower score goes.
    pub overlap: f32,
    /// Boxes with a lower score go.
    pub score_min: Option<f32>,
    /// At most so many boxes, the best ones.
    pub kept_max: Option<u32>,
    /// What the four numbers of a box are.
    pub form: BoxForm,
}

/// What the four numbers of a box are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BoxForm {
    /// Left, top, right, bottom.
    #[default]
    Corners,
    /// The middle, across and down, then width and height.
    Centre,
    /// Left, top, width, height.
    TopLeft,
}

// === impl Decode ===

impl Decode {
    /// Red, green and blue, whatever the file has.
    pub fn rgb() -> Self {
        Self { channels: 3, ..Self::default() }
    }

    /// Grey, as Pillow's `convert("L")`.
    pub fn grey() -> Self {
        Self { channels: 1, ..Self::default() }
    }
}

/// Decodes element `index` of a `BYTES` tensor: a whole JPEG, PNG or WebP file. Gives UINT8 `[height, width, channels]`.
///
/// # Errors
/// Another format, a broken file, or an image beyond the limits, which is found before it is decoded.
pub fn decode_image(files: &Tensor, index: u32, decode: &Decode) -> Result<Tensor, Error> {
    let mut options = vec![option("keep-orientation", decode.keep_orientation)];
    options.extend(decode.pixels_max.map(|pixels| option("pixels-max", Value::Uint(pixels))));
    made(host::decode_image(files.handle(), index, decode.channels, &options))
}

/// Images of UINT8 or FP32, `[height, width, channels]` or a batch of such, at another size.
///
/// # Errors
/// Another type or shape, or too many pixels.
pub fn resize(image: &Tensor, height: u32, width: u32, resampling: Resampling) -> Result<Tensor, Error> {
    made(host::resize(image.handle(), height, width, resampling))
}

/// A part of each image.
///
/// # Errors
/// The part reaches beyond the image.
pub fn crop(image: &Tensor, part: Window) -> Result<Tensor, Error> {
    made(host::crop(image.handle(), part))
}

/// `(x * scale - mean) / deviation` as FP32; one mean and deviation for all, or one for each place along `axis`.
///
/// # Errors
/// Another number of means or deviations.
pub fn normalise(tensor: &Tensor, scale: f32, mean: &[f32], deviation: &[f32], axis: i32) -> Result<Tensor, Error> {
    made(host::normalise(tensor.handle(), scale, mean, deviation, axis))
}

/// `x * scale + bias` as FP32; the slices as in [`normalise`], an empty `bias` is zero.
///
/// # Errors
/// Another number of factors or summands.
pub fn affine(tensor: &Tensor, scale: &[f32], bias: &[f32], axis: i32) -> Result<Tensor, Error> {
    made(host::affine(tensor.handle(), scale, bias, axis))
}

/// From `[…, height, width, channels]` to `[…, channels, height, width]`.
///
/// # Errors
/// Fewer than three dimensions.
pub fn to_channels_first(tensor: &Tensor) -> Result<Tensor, Error> {
    made(host::to_channels_first(tensor.handle()))
}

/// From `[…, channels, height, width]` to `[…, height, width, channels]`.
///
/// # Errors
/// Fewer than three dimensions.
pub fn to_channels_last(tensor: &Tensor) -> Result<Tensor, Error> {
    made(host::to_channels_last(tensor.handle()))
}

/// The dimensions in another order: the old one for each new one.
///
/// # Errors
/// `axes` is no permutation.
pub fn transpose(tensor: &Tensor, axes: &[u32]) -> Result<Tensor, Error> {
    made(host::transpose(tensor.handle(), axes))
}

/// The same numbers as another type.
///
/// # Errors
/// `BYTES`, or a value that does not fit where `rules` refuse it.
pub fn cast(tensor: &Tensor, to: DataType, rules: Cast) -> Result<Tensor, Error> {
    let options = [option("refuse-overflow", rules.refuse_overflow), option("round", rules.round)];
    made(host::cast(tensor.handle(), to, &options))
}

/// Tensors one behind the other along an axis that they have.
///
/// # Errors
/// Types or shapes that do not fit together.
pub fn concat(tensors: &[&Tensor], axis: i32) -> Result<Tensor, Error> {
    made(host::concat(&handles(tensors), axis))
}

/// Tensors of one shape one behind the other along a new axis: images to a batch with axis 0.
///
/// # Errors
/// Types or shapes that differ.
pub fn stack(tensors: &[&Tensor], axis: i32) -> Result<Tensor, Error> {
    made(host::stack(&handles(tensors), axis))
}

/// One tensor as several along an axis, as long as `extents` says.
///
/// # Errors
/// The extents do not add up to the axis'.
pub fn split(tensor: &Tensor, extents: &[u32], axis: i32) -> Result<Vec<Tensor>, Error> {
    Ok(host::split(tensor.handle(), extents, axis)?.into_iter().map(Tensor::unnamed).collect())
}

/// Elements of one value around a tensor of numbers: how many before and after, dimension by dimension.
///
/// # Errors
/// Another number of paddings than dimensions.
pub fn pad(tensor: &Tensor, before: &[u32], after: &[u32], value: f64) -> Result<Tensor, Error> {
    made(host::pad(tensor.handle(), before, after, value))
}

/// Probabilities along an axis, FP32.
///
/// # Errors
/// `BYTES`, or no such axis.
pub fn softmax(tensor: &Tensor, axis: i32) -> Result<Tensor, Error> {
    made(host::softmax(tensor.handle(), axis))
}

/// The place of the largest element along an axis, INT64; the axis goes.
///
/// # Errors
/// `BYTES`, no such axis, or nothing along it.
pub fn argmax(tensor: &Tensor, axis: i32) -> Result<Tensor, Error> {
    made(host::argmax(tensor.handle(), axis))
}

/// The `k` largest elements along an axis, in order.
///
/// # Errors
/// As of [`argmax`], and `k` of 0 or more than there are.
pub fn top_k(tensor: &Tensor, k: u32, axis: i32) -> Result<Ranked, Error> {
    let ranked = host::top_k(tensor.handle(), k, axis)?;
    Ok(Ranked { values: Tensor::unnamed(ranked.values), indices: Tensor::unnamed(ranked.indices) })
}

/// Of boxes `[n, 4]` that overlap the one with the higher score: the numbers of those kept, by falling score, INT64.
///
/// # Errors
/// Shapes that do not fit together, or too many boxes with a score that counts.
pub fn suppress(boxes: &Tensor, scores: &Tensor, suppression: &Suppression<'_>) -> Result<Tensor, Error> {
    let form = match suppression.form {
        BoxForm::Corners => "corners",
        BoxForm::Centre => "centre",
        BoxForm::TopLeft => "top-left",
    };
    let mut options = vec![option("form", form)];
    options.extend(suppression.score_min.map(|score| option("score-min", f64::from(score))));
    options.extend(suppression.kept_max.map(|count| option("kept-max", i64::from(count))));
    let classes = suppression.classes.map(Tensor::handle);
    made(host::non_maximum_suppression(boxes.handle(), scores.handle(), classes, suppression.overlap, &options))
}

/// Every element of a `BYTES` tensor as base64; `url_safe` with `-` and `_`, and without `=` at the end.
///
/// # Errors
/// Not `BYTES`.
pub fn encode_base64(tensor: &Tensor, url_safe: bool) -> Result<Tensor, Error> {
    made(host::encode_base64(tensor.handle(), &[option("url-safe", url_safe), option("unpadded", url_safe)]))
}

/// What every element of a `BYTES` tensor encodes, with `=` at the end or without.
///
/// # Errors
/// An element that is no base64; the text says which.
pub fn decode_base64(tensor: &Tensor, url_safe: bool) -> Result<Tensor, Error> {
    made(host::decode_base64(tensor.handle(), &[option("url-safe", url_safe)]))
}

/// All elements of a `BYTES` tensor as texts, checked by the host: as [`Tensor::texts`].
///
/// # Errors
/// Not `BYTES`, or an element that is not UTF-8.
pub fn texts(tensor: &Tensor) -> Result<Vec<String>, Error> {
    let count = u32::try_from(tensor.element_count())?;
    Ok(host::texts(tensor.handle(), 0, count)?)
}

/// A `BYTES` tensor of texts.
///
/// # Errors
/// The shape calls for another number of elements.
pub fn from_texts(shape: &[u64], texts: &[String]) -> Result<Tensor, Error> {
    made(host::from_texts(shape, texts))
}

/// The bytes of one element of a `BYTES` tensor as a UINT8 tensor. Costs no copy.
///
/// # Errors
/// Not `BYTES`, or no such element.
pub fn blob_bytes(tensor: &Tensor, index: u32) -> Result<Tensor, Error> {
    made(host::blob_bytes(tensor.handle(), index))
}

fn option(name: &str, value: impl Into<Value>) -> Parameter {
    Parameter { name: name.to_owned(), value: value.into() }
}

fn handles<'a>(tensors: &[&'a Tensor]) -> Vec<&'a tensors::Tensor> {
    tensors.iter().map(|tensor| tensor.handle()).collect()
}

fn made(handle: Result<tensors::Tensor, crate::bindings::nereid::plugin::types::Error>) -> Result<Tensor, Error> {
    Ok(Tensor::unnamed(handle?))
}
