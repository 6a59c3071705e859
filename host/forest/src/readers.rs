//! The files that forests come in.
//!
//! Each reader promises a [`Forest`] that predicts what the framework predicts, or an error that names the place. Nothing
//! is executed and nothing recurses; the bytes of the file bound the memory, a small factor aside.

mod exported;
mod lightgbm;
mod treelite;
mod xgboost;

use crate::{
    Forest, ForestError,
    document::{parse_json, parse_ubjson},
};

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Whatever XGBoost wrote under a name that does not say: JSON or UBJSON.
    Xgboost,
    XgboostJson,
    XgboostUbjson,
    LightGbm,
    Treelite,
    /// What this repository's exporter writes for scikit-learn.
    Exported,
}

/// What a model's configuration says about reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Pass over members of XGBoost's documents that this reader does not know.
    pub allow_unknown_fields: bool,
}

/// Reads a file's bytes.
///
/// # Errors
/// They are not of the format, make no forest, or need what is not served.
pub fn read(format: Format, bytes: &[u8], options: ReadOptions) -> Result<Forest, ForestError> {
    match format {
        Format::Xgboost => match written_by_xgboost(bytes)? {
            Format::XgboostUbjson => xgboost::read(&parse_ubjson(bytes)?, options),
            _ => xgboost::read(&parse_json(bytes)?, options),
        },
        Format::XgboostJson => xgboost::read(&parse_json(bytes)?, options),
        Format::XgboostUbjson => xgboost::read(&parse_ubjson(bytes)?, options),
        Format::LightGbm => lightgbm::read(bytes),
        Format::Treelite => treelite::read(bytes),
        Format::Exported => exported::read(&parse_json(bytes)?),
    }
}

/// Tells JSON, where a quote follows the brace, from UBJSON, where a length follows it, and from the old binary form.
fn written_by_xgboost(bytes: &[u8]) -> Result<Format, ForestError> {
    let mut visible = bytes.iter().filter(|byte| !byte.is_ascii_whitespace());
    match (visible.next(), visible.next()) {
        (Some(b'{'), Some(b'"' | b'}')) => Ok(Format::XgboostJson),
        (Some(b'{'), Some(b'i' | b'U' | b'I' | b'l' | b'L')) => Ok(Format::XgboostUbjson),
        _ => Err(ForestError::unsupported(
            "XGBoost's old binary format is not read: load the model with XGBoost before 3.1 and save it as \
             'xgboost.ubj' (model_type xgboost_ubj) or 'xgboost.json' (model_type xgboost_json)",
        )),
    }
}

// === impl Format ===

impl Format {
    /// Every kind, in the order in which a version's directory is searched.
    pub const ALL: [Self; 6] =
        [Self::XgboostJson, Self::XgboostUbjson, Self::LightGbm, Self::Treelite, Self::Exported, Self::Xgboost];

    /// The names of their files, in the same order.
    pub const FILENAMES: [&str; 6] =
        ["xgboost.json", "xgboost.ubj", "model.txt", "checkpoint.tl", "forest.json", "xgboost.model"];

    /// The word in a configuration's `model_type`.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Xgboost => "xgboost",
            Self::XgboostJson => "xgboost_json",
            Self::XgboostUbjson => "xgboost_ubj",
            Self::LightGbm => "lightgbm",
            Self::Treelite => "treelite_checkpoint",
            Self::Exported => "nereid_forest",
        }
    }

    /// The name of the file, unless the configuration has another.
    pub fn default_filename(self) -> &'static str {
        let place = Self::ALL.iter().position(|format| *format == self);
        place.and_then(|place| Self::FILENAMES.get(place)).copied().unwrap_or_default()
    }
}
