//! `operations`: looks the handles up, reads the options, and leaves the work to `nereid-operations`.
//!
//! Where the work runs, and who pays for it, is decided in `run`. How heavy it is, compared with one pass over the bytes, stands at
//! each operation here.

mod options;
mod run;
pub(crate) mod tokenizers;

use nereid_operations as host;
use nereid_operations::{Affine, Base64, CastRules, Channels, Decode, Filter, Normalise, Padding, Suppression};
use nereid_tensor::Shape;
use wasmtime::component::Resource;

use self::{options::Options, run::Weight};
use crate::{
    bindings::nereid::plugin::{
        operations::{Host, Ranked, Resampling, Window},
        tensors::Dtype,
        types::{Error, Parameter},
    },
    convert,
    state::PluginState,
    tensor_handle::TensorHandle,
};

/// Boxes whose pairs are compared in less than 64 µs.
const FEW_BOXES_MAX: u64 = 128;

type Handle = Resource<TensorHandle>;

/// What every operation answers: the outer error ends the call, the inner one is the guest's to handle.
type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl Host for PluginState {
    async fn decode_image(
        &mut self,
        files: Handle,
        index: u32,
        channels: u32,
        options: Vec<Parameter>,
    ) -> Answer<Handle> {
        let operands = self.operands("operations.decode-image", [&files])?;
        let decode = match decode_options(channels, options) {
            Ok(decode) => decode,
            Err(error) => return Ok(Err(error)),
        };
        self.operate_one(operands, Weight::Heavy, move |[files], budget| {
            host::decode_image(&files, index, decode, budget)
        })
        .await
    }

    async fn resize(&mut self, image: Handle, height: u32, width: u32, resampling: Resampling) -> Answer<Handle> {
        let operands = self.operands("operations.resize", [&image])?;
        let to = host::Resize { height, width, filter: filter(resampling) };
        let result_bytes = u64::from(height).saturating_mul(width.into()).saturating_mul(4);
        self.operate_one(operands, Weight::Passes { count: 4, result_bytes }, move |[image], budget| {
            host::resize(&image, to, budget)
        })
        .await
    }

    async fn crop(&mut self, image: Handle, part: Window) -> Answer<Handle> {
        let operands = self.operands("operations.crop", [&image])?;
        let Window { top, left, height, width } = part;
        let window = host::Window { top, left, height, width };
        self.operate_one(operands, Weight::PASS, move |[image], budget| host::crop(&image, window, budget)).await
    }

    async fn normalise(
        &mut self,
        tensor: Handle,
        scale: f32,
        mean: Vec<f32>,
        deviation: Vec<f32>,
        axis: i32,
    ) -> Answer<Handle> {
        let operands = self.operands("operations.normalise", [&tensor])?;
        self.operate_one(operands, Weight::passes(2), move |[tensor], budget| {
            let arguments = Normalise { scale, mean: &mean, deviation: &deviation, axis };
            host::normalise(&tensor, &arguments, budget)
        })
        .await
    }

    async fn affine(&mut self, tensor: Handle, scale: Vec<f32>, bias: Vec<f32>, axis: i32) -> Answer<Handle> {
        let operands = self.operands("operations.affine", [&tensor])?;
        self.operate_one(operands, Weight::passes(2), move |[tensor], budget| {
            host::affine(&tensor, &Affine { scale: &scale, bias: &bias, axis }, budget)
        })
        .await
    }

    async fn to_channels_first(&mut self, tensor: Handle) -> Answer<Handle> {
        let operands = self.operands("operations.to-channels-first", [&tensor])?;
        self.operate_one(operands, Weight::passes(2), |[tensor], budget| host::to_channels_first(&tensor, budget)).await
    }

    async fn to_channels_last(&mut self, tensor: Handle) -> Answer<Handle> {
        let operands = self.operands("operations.to-channels-last", [&tensor])?;
        self.operate_one(operands, Weight::passes(2), |[tensor], budget| host::to_channels_last(&tensor, budget)).await
    }

    async fn transpose(&mut self, tensor: Handle, axes: Vec<u32>) -> Answer<Handle> {
        let operands = self.operands("operations.transpose", [&tensor])?;
        self.operate_one(operands, Weight::passes(2), move |[tensor], budget| host::transpose(&tensor, &axes, budget))
            .await
    }

    async fn cast(&mut self, tensor: Handle, to: Dtype, options: Vec<Parameter>) -> Answer<Handle> {
        let operands = self.operands("operations.cast", [&tensor])?;
        let mut options = Options::of("cast", options);
        let rules =
            CastRules { refuse_overflow: options.flag("refuse-overflow"), round_to_nearest: options.flag("round") };
        if let Err(error) = options.finish() {
            return Ok(Err(error));
        }
        let to = convert::data_type(to);
        self.operate_one(operands, Weight::PASS, move |[tensor], budget| host::cast(&tensor, to, rules, budget)).await
    }

    async fn concat(&mut self, tensors: Vec<Handle>, axis: i32) -> Answer<Handle> {
        let operands = self.operand_list("operations.concat", &tensors)?;
        self.operate_one(operands, Weight::PASS, move |tensors, budget| host::concat(&tensors, axis, budget)).await
    }

    async fn stack(&mut self, tensors: Vec<Handle>, axis: i32) -> Answer<Handle> {
        let operands = self.operand_list("operations.stack", &tensors)?;
        self.operate_one(operands, Weight::PASS, move |tensors, budget| host::stack(&tensors, axis, budget)).await
    }

    async fn split(&mut self, tensor: Handle, extents: Vec<u32>, axis: i32) -> Answer<Vec<Handle>> {
        let operands = self.operands("operations.split", [&tensor])?;
        let parts =
            self.operate(&operands, Weight::PASS, move |[tensor], budget| host::split(&tensor, &extents, axis, budget));
        let parts = parts.await?;
        Ok(parts.and_then(|parts| self.keep_all(&operands.charges, parts)).map_err(convert::error))
    }

    async fn pad(&mut self, tensor: Handle, before: Vec<u32>, after: Vec<u32>, value: f64) -> Answer<Handle> {
        let operands = self.operands("operations.pad", [&tensor])?;
        let [source] = &operands.tensors;
        let around = before.iter().zip(&after).map(|(before, after)| u64::from(*before) + u64::from(*after));
        let extents = source.shape().iter().zip(around).map(|(extent, around)| extent.saturating_add(around));
        let size = source.data_type().size_bytes().unwrap_or_default() as u64;
        let weight = Weight::Passes { count: 2, result_bytes: extents.fold(size, u64::saturating_mul) };
        self.operate_one(operands, weight, move |[tensor], budget| {
            host::pad(&tensor, &Padding { before: &before, after: &after, value }, budget)
        })
        .await
    }

    async fn softmax(&mut self, tensor: Handle, axis: i32) -> Answer<Handle> {
        let operands = self.operands("operations.softmax", [&tensor])?;
        self.operate_one(operands, Weight::passes(4), move |[tensor], budget| host::softmax(&tensor, axis, budget))
            .await
    }

    async fn argmax(&mut self, tensor: Handle, axis: i32) -> Answer<Handle> {
        let operands = self.operands("operations.argmax", [&tensor])?;
        self.operate_one(operands, Weight::passes(2), move |[tensor], budget| host::argmax(&tensor, axis, budget)).await
    }

    async fn top_k(&mut self, tensor: Handle, k: u32, axis: i32) -> Answer<Ranked> {
        let operands = self.operands("operations.top-k", [&tensor])?;
        let ranked =
            self.operate(&operands, Weight::passes(8), move |[tensor], budget| host::top_k(&tensor, k, axis, budget));
        let ranked = ranked.await?.and_then(|ranked| {
            let values = self.keep_result(&operands.charges, ranked.values)?;
            Ok(Ranked { values, indices: self.keep_result(&operands.charges, ranked.indices)? })
        });
        Ok(ranked.map_err(convert::error))
    }

    async fn non_maximum_suppression(
        &mut self,
        boxes: Handle,
        scores: Handle,
        classes: Option<Handle>,
        overlap: f32,
        options: Vec<Parameter>,
    ) -> Answer<Handle> {
        let operands = self.operands("operations.non-maximum-suppression", [&boxes, &scores])?;
        let classes = match classes {
            Some(classes) => Some(self.operands("operations.non-maximum-suppression", [&classes])?.tensors),
            None => None,
        };
        let options = match suppression_options(options) {
            Ok(options) => options,
            Err(error) => return Ok(Err(error)),
        };
        let [source, _] = &operands.tensors;
        let few = source.shape().first().is_some_and(|count| *count <= FEW_BOXES_MAX);
        let weight = if few { Weight::PASS } else { Weight::Heavy };
        self.operate_one(operands, weight, move |[boxes, scores], budget| {
            let classes = classes.as_ref().and_then(|classes| classes.first());
            host::suppress(&boxes, &scores, &Suppression { classes, overlap_max: overlap, ..options }, budget)
        })
        .await
    }

    async fn encode_base64(&mut self, tensor: Handle, options: Vec<Parameter>) -> Answer<Handle> {
        let operands = self.operands("operations.encode-base64", [&tensor])?;
        let mut options = Options::of("encode-base64", options);
        let form = Base64 { url_safe: options.flag("url-safe"), unpadded: options.flag("unpadded") };
        if let Err(error) = options.finish() {
            return Ok(Err(error));
        }
        self.operate_one(operands, Weight::passes(2), move |[tensor], budget| {
            host::encode_base64(&tensor, form, budget)
        })
        .await
    }

    async fn decode_base64(&mut self, tensor: Handle, options: Vec<Parameter>) -> Answer<Handle> {
        let operands = self.operands("operations.decode-base64", [&tensor])?;
        let mut options = Options::of("decode-base64", options);
        let form = Base64 { url_safe: options.flag("url-safe"), unpadded: false };
        if let Err(error) = options.finish() {
            return Ok(Err(error));
        }
        self.operate_one(operands, Weight::passes(2), move |[tensor], budget| {
            host::decode_base64(&tensor, form, budget)
        })
        .await
    }

    async fn texts(&mut self, tensor: Handle, first: u32, count: u32) -> Answer<Vec<String>> {
        let operands = self.operands("operations.texts", [&tensor])?;
        let texts =
            self.operate(&operands, Weight::PASS, move |[tensor], budget| host::texts(&tensor, first, count, budget));
        Ok(texts.await?.map_err(convert::error))
    }

    async fn from_texts(&mut self, shape: Vec<u64>, texts: Vec<String>) -> Answer<Handle> {
        let operands = self.operands("operations.from-texts", [])?;
        let result_bytes = texts.iter().map(|text| text.len() as u64 + 4).sum();
        self.operate_one(operands, Weight::Passes { count: 1, result_bytes }, move |[], budget| {
            host::from_texts(Shape::new(&shape), &texts, budget)
        })
        .await
    }

    async fn blob_bytes(&mut self, tensor: Handle, index: u32) -> Answer<Handle> {
        let operands = self.operands("operations.blob-bytes", [&tensor])?;
        self.operate_one(operands, Weight::Nothing, move |[tensor], _| host::blob_bytes(&tensor, index)).await
    }
}

fn decode_options(channels: u32, options: Vec<Parameter>) -> Result<Decode, Error> {
    let mut options = Options::of("decode-image", options);
    let channels = match channels {
        0 => Channels::AsStored,
        1 => Channels::Grey,
        3 => Channels::Rgb,
        4 => Channels::Rgba,
        other => return Err(options.refusal(format!("channels is {other}, expected 0, 1, 3 or 4"))),
    };
    let keep_orientation = options.flag("keep-orientation");
    let pixels_max = options.count("pixels-max").unwrap_or(host::PIXELS_MAX);
    options.finish()?;
    Ok(Decode { channels, keep_orientation, pixels_max })
}

fn suppression_options(options: Vec<Parameter>) -> Result<Suppression<'static>, Error> {
    let mut options = Options::of("non-maximum-suppression", options);
    let score_min = options.number("score-min").map(|least| least as f32);
    let kept_max = options.count("kept-max").map(|count| u32::try_from(count).unwrap_or(u32::MAX));
    let form = match options.text("form").as_deref() {
        None | Some("corners") => host::BoxForm::Corners,
        Some("centre") => host::BoxForm::Centre,
        Some("top-left") => host::BoxForm::TopLeft,
        Some(other) => return Err(options.refusal(format!("form is '{other}', expected corners, centre or top-left"))),
    };
    options.finish()?;
    Ok(Suppression { classes: None, overlap_max: 0.0, score_min, kept_max, form })
}

fn filter(resampling: Resampling) -> Filter {
    match resampling {
        Resampling::Nearest => Filter::Nearest,
        Resampling::Bilinear => Filter::Bilinear,
        Resampling::AntialiasedBox => Filter::AntialiasedBox,
        Resampling::AntialiasedBilinear => Filter::AntialiasedBilinear,
        Resampling::AntialiasedBicubic => Filter::AntialiasedBicubic,
        Resampling::AntialiasedLanczos => Filter::AntialiasedLanczos,
    }
}
