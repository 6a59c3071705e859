// What plugins do with tensors most often, done by the host at the machine's own speed: images, layouts, numbers, rankings,
// texts. Nothing is copied into the plugin's memory, so that a plugin in JavaScript is as fast as one in Rust.
//
//     const photograph = operations.decodeImage(files, 0, { channels: 3 });
//     const small = operations.resize(photograph, 224, 224, "antialiased-bilinear");
//     const input = operations.normalise(small, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], { scale: 1 / 255 });
//
// Axes are counted from the outside, from 0 on; negative ones from the inside, from -1 on. An image is a tensor
// `[height, width, channels]`; most operations also take a batch of images of one size. Errors say operation, argument, expected
// and found.

import * as host from "nereid:plugin/operations";

import { asking } from "./errors.js";
import { Tensor, dtype, handleOf } from "./tensor.js";
import { parametersToHost } from "./values.js";

/// Decodes element `index` of a BYTES tensor, or a flat UINT8 tensor: a whole JPEG, PNG or WebP file. Gives UINT8
/// `[height, width, channels]`. Options: `channels` (1, 3, 4, or 0 for the file's own), `keepOrientation`, `pixelsMax`.
export function decodeImage(files, index = 0, { channels = 0, keepOrientation, pixelsMax } = {}) {
  const options = given({ "keep-orientation": keepOrientation, "pixels-max": pixelsMax });
  return made(() => host.decodeImage(handleOf(files), index, channels, options));
}

/// Images of UINT8 or FP32 at another size. `resampling` is `nearest`, `bilinear` (OpenCV's `INTER_LINEAR`), `antialiased-box`,
/// `antialiased-bilinear` (torchvision's default), `antialiased-bicubic` or `antialiased-lanczos`.
export function resize(image, height, width, resampling = "antialiased-bilinear") {
  return made(() => host.resize(handleOf(image), height, width, resampling));
}

/// A part of each image: `{ top, left, height, width }`.
export function crop(image, { top, left, height, width }) {
  return made(() => host.crop(handleOf(image), { top, left, height, width }));
}

/// `(x * scale - mean) / deviation` as FP32. `mean` and `deviation` have one value for all elements or one for each place along
/// `axis`: -1 for the channels of an image, -3 once they are planes.
export function normalise(tensor, mean, deviation, { scale = 1, axis = -1 } = {}) {
  return made(() => host.normalise(handleOf(tensor), scale, numbers(mean), numbers(deviation), axis));
}

/// `x * scale + bias` as FP32; numbers or arrays as in `normalise`.
export function affine(tensor, scale, bias = [], { axis = -1 } = {}) {
  return made(() => host.affine(handleOf(tensor), numbers(scale), numbers(bias), axis));
}

/// From `[…, height, width, channels]` to `[…, channels, height, width]`.
export function toChannelsFirst(tensor) {
  return made(() => host.toChannelsFirst(handleOf(tensor)));
}

/// From `[…, channels, height, width]` to `[…, height, width, channels]`.
export function toChannelsLast(tensor) {
  return made(() => host.toChannelsLast(handleOf(tensor)));
}

/// The dimensions in another order: `axes` has the old one for each new one, as in NumPy.
export function transpose(tensor, axes) {
  return made(() => host.transpose(handleOf(tensor), [...axes]));
}

/// The same numbers as another type. Options: `refuseOverflow` (a value that does not fit is an error, instead of the nearest that
/// does), `round` (fractions go to the nearest integer, halves to the even one, instead of being cut off).
export function cast(tensor, dataType, { refuseOverflow, round } = {}) {
  const options = given({ "refuse-overflow": refuseOverflow, round });
  return made(() => host.cast(handleOf(tensor), dtype(dataType), options));
}

/// Tensors of one type one behind the other along an axis that they have.
export function concat(tensors, axis = 0) {
  return made(() => host.concat(Array.from(tensors, handleOf), axis));
}

/// Tensors of one type and shape one behind the other along a new axis: images to a batch with axis 0.
export function stack(tensors, axis = 0) {
  return made(() => host.stack(Array.from(tensors, handleOf), axis));
}

/// One tensor as several along an axis, as long as `extents` says. Costs no copy along the outermost axis.
export function split(tensor, extents, axis = 0) {
  return asking(() => host.split(handleOf(tensor), [...extents], axis)).map((part) => new Tensor(part));
}

/// Elements of one value around a tensor of numbers: how many before and after, dimension by dimension.
export function pad(tensor, before, after, value = 0) {
  return made(() => host.pad(handleOf(tensor), [...before], [...after], value));
}

/// Probabilities along an axis, FP32.
export function softmax(tensor, axis = -1) {
  return made(() => host.softmax(handleOf(tensor), axis));
}

/// The place of the largest element along an axis, INT64; the axis goes.
export function argmax(tensor, axis = -1) {
  return made(() => host.argmax(handleOf(tensor), axis));
}

/// The `k` largest elements along an axis, in order, and their places as INT64: `{ values, indices }`.
export function topK(tensor, k, axis = -1) {
  const { values, indices } = asking(() => host.topK(handleOf(tensor), k, axis));
  return { values: new Tensor(values), indices: new Tensor(indices) };
}

/// Non-maximum suppression: of boxes `[n, 4]` that overlap by more than `overlap` (intersection over union) the one with the
/// higher score. Gives the numbers of those kept, by falling score, INT64. Options: `classes` (boxes of different ones leave each
/// other alone), `scoreMin`, `keptMax`, `form` (`corners`, `centre` or `top-left`).
export function suppress(boxes, scores, overlap, { classes = null, scoreMin, keptMax, form } = {}) {
  const options = given({ form, "kept-max": keptMax });
  if (scoreMin !== undefined) {
    // Always a double, whole numbers too.
    options.push({ name: "score-min", value: { tag: "double", val: scoreMin } });
  }
  const kinds = classes === null ? null : handleOf(classes);
  return made(() => host.nonMaximumSuppression(handleOf(boxes), handleOf(scores), kinds, overlap, options));
}

/// Every element of a BYTES tensor as base64. Options: `urlSafe` (`-` and `_`), `unpadded` (without `=` at the end).
export function encodeBase64(tensor, { urlSafe, unpadded } = {}) {
  return made(() => host.encodeBase64(handleOf(tensor), given({ "url-safe": urlSafe, unpadded })));
}

/// What every element of a BYTES tensor encodes, with `=` at the end or without. Options: `urlSafe`.
export function decodeBase64(tensor, { urlSafe } = {}) {
  return made(() => host.decodeBase64(handleOf(tensor), given({ "url-safe": urlSafe })));
}

/// `count` elements of a BYTES tensor from number `first` on, or all of them, as strings. One that is not UTF-8 is an error.
export function texts(tensor, first = 0, count = tensor.size - first) {
  return asking(() => host.texts(handleOf(tensor), first, count));
}

/// A BYTES tensor of strings.
export function fromTexts(shape, items) {
  return made(() => host.fromTexts([...shape], [...items]));
}

/// The bytes of one element of a BYTES tensor as a UINT8 tensor. Costs no copy.
export function blobBytes(tensor, index = 0) {
  return made(() => host.blobBytes(handleOf(tensor), index));
}

function made(operation) {
  return new Tensor(asking(operation));
}

/// Those that were given, under the names of the contract.
export function given(options) {
  return parametersToHost(Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)));
}

function numbers(values) {
  return typeof values === "number" ? [values] : Array.from(values);
}
