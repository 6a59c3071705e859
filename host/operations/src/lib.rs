//! What plugins do with tensors most often: functions from tensors to tensors, at the machine's own speed.
//!
//! Invariant: an operation is a pure function of its arguments. It allocates nothing that it did not compare with its
//! [`Budget`] first, and an argument that does not fit is an error that says operation, argument, expected and found.
//!
//! Deliberately absent: threads, files, plugins. Who calls an operation decides where it runs, and pays for its result.

mod budget;
mod error;

mod axis;
mod number;
mod output;

mod affine;
mod cast;
mod image;
mod join;
mod layout;
mod pad;
mod rank;
mod softmax;
mod suppress;
mod text;
mod tokenize;

pub use crate::{
    affine::{Affine, Normalise, affine, normalise},
    budget::Budget,
    cast::{CastRules, cast},
    error::{Fault, OperationError},
    image::{Channels, Decode, Filter, PIXELS_MAX, RESIZED_PIXELS_MAX, Resize, Window, crop, decode_image, resize},
    join::{concat, split, stack},
    layout::{to_channels_first, to_channels_last, transpose},
    pad::{Padding, pad},
    rank::{Ranked, argmax, top_k},
    softmax::softmax,
    suppress::{BoxForm, Suppression, suppress},
    text::{Base64, blob_bytes, decode_base64, encode_base64, from_texts, texts},
    tokenize::{
        EncodeOptions, Encoded, TOKENIZED_BYTES_MAX, TOKENIZER_BYTES_MAX, TOKENIZER_MEMORY_FACTOR, Tokenizer,
        TokenizerOptions,
    },
};
