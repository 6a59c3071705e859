//! The parameters of a model, under Triton's names.
//!
//! Those that tune GPUs or Triton's own layouts (`algo`, `layout`, `storage_type`, `blocks_per_sm`, `threads_per_tree`,
//! `chunk_size`, `transfer_threshold`, `use_experimental_optimizations`) change no result upstream and nothing here;
//! values that upstream would refuse are refused here too, so that a typing error is found.

use nereid_forest::{Format, THREADS_MAX, Task};
use nereid_inference::{InferError, ModelConfig};

/// What a model's parameters say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ModelSettings {
    pub(crate) format: Option<Format>,
    /// `output_class`, or `is_classifier` since Triton 25.09.
    is_classifier: Option<bool>,
    pub(crate) predict_proba: bool,
    /// What the score of class 1 must exceed, of a model with two classes.
    pub(crate) threshold: f32,
    pub(crate) allow_unknown_fields: bool,
    /// How many threads may share a batch of this model.
    pub(crate) threads: usize,
}

const THRESHOLD: f32 = 0.5;

/// Parameters that are words, and which ones; the old and the new names.
const WORDS: [(&str, &[&str]); 3] = [
    ("algo", &["ALGO_AUTO", "NAIVE", "TREE_REORG", "BATCH_TREE_REORG"]),
    ("storage_type", &["AUTO", "DENSE", "SPARSE", "SPARSE8"]),
    ("layout", &["depth_first", "breadth_first", "layered"]),
];

/// Parameters that are whole numbers from 0.
const COUNTS: [&str; 4] = ["blocks_per_sm", "threads_per_tree", "chunk_size", "transfer_threshold"];

// === impl ModelSettings ===

impl ModelSettings {
    /// Reads them.
    ///
    /// # Errors
    /// A parameter that is none of what it may be.
    pub(crate) fn from_config(config: &ModelConfig) -> Result<Self, InferError> {
        for (name, words) in WORDS {
            word(config, name, words)?;
        }
        for name in COUNTS {
            count(config, name)?;
        }
        flag(config, "use_experimental_optimizations")?;
        let format = match config.parameter("model_type") {
            None => None,
            Some(text) => Some(format(config, text)?),
        };
        let older = flag(config, "output_class")?;
        Ok(Self {
            format,
            is_classifier: older.or(flag(config, "is_classifier")?),
            predict_proba: flag(config, "predict_proba")?.unwrap_or(false),
            threshold: threshold(config)?,
            allow_unknown_fields: flag(config, "xgboost_allow_unknown_field")?.unwrap_or(false),
            threads: threads(config)?,
        })
    }

    /// Whether the answer is a class: as written, or as the model's task has it.
    pub(crate) fn gives_classes(self, task: Task) -> bool {
        let by_task = matches!(task, Task::Binary | Task::MultiClass);
        self.is_classifier.unwrap_or(by_task) && !self.predict_proba
    }
}

fn format(config: &ModelConfig, text: &str) -> Result<Format, InferError> {
    Format::ALL.into_iter().find(|format| format.model_type() == text).ok_or_else(|| {
        let known: Vec<&str> = Format::ALL.iter().map(|format| format.model_type()).collect();
        wrong(config, "model_type", text, &format!("expected one of {}", known.join(", ")))
    })
}

fn threshold(config: &ModelConfig) -> Result<f32, InferError> {
    let Some(text) = config.parameter("threshold") else { return Ok(THRESHOLD) };
    let number = text.trim().parse().ok().filter(|number: &f32| number.is_finite());
    number.ok_or_else(|| wrong(config, "threshold", text, "expected a number"))
}

/// -1 and 0 stand for all, as upstream.
fn threads(config: &ModelConfig) -> Result<usize, InferError> {
    let Some(text) = config.parameter("cpu_nthread") else { return Ok(THREADS_MAX) };
    match text.trim().parse::<i64>() {
        Ok(-1 | 0) => Ok(THREADS_MAX),
        Ok(count) if usize::try_from(count).is_ok_and(|count| count <= THREADS_MAX) => {
            Ok(usize::try_from(count).unwrap_or(THREADS_MAX))
        }
        _ => Err(wrong(config, "cpu_nthread", text, &format!("expected 1 to {THREADS_MAX}, or -1 for all"))),
    }
}

fn word(config: &ModelConfig, name: &str, words: &[&str]) -> Result<(), InferError> {
    match config.parameter(name) {
        Some(text) if !words.contains(&text) => {
            Err(wrong(config, name, text, &format!("expected one of {}", words.join(", "))))
        }
        _ => Ok(()),
    }
}

fn count(config: &ModelConfig, name: &str) -> Result<(), InferError> {
    match config.parameter(name) {
        Some(text) if text.trim().parse::<u32>().is_err() => {
            Err(wrong(config, name, text, "expected a whole number from 0"))
        }
        _ => Ok(()),
    }
}

fn flag(config: &ModelConfig, name: &str) -> Result<Option<bool>, InferError> {
    let Some(text) = config.parameter(name) else { return Ok(None) };
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(Some(true)),
        "false" | "0" => Ok(Some(false)),
        _ => Err(wrong(config, name, text, "expected true or false")),
    }
}

fn wrong(config: &ModelConfig, name: &str, text: &str, expected: &str) -> InferError {
    InferError::invalid_argument(format!("model '{}': parameter '{name}' is '{text}', {expected}", config.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(parameters: &[(&str, &str)]) -> ModelConfig {
        let parameters = parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        ModelConfig { name: "m".into(), parameters, ..ModelConfig::default() }
    }

    #[test]
    fn parameters_are_read_under_their_old_and_new_names() {
        let plain = ModelSettings::from_config(&config(&[])).unwrap();
        assert_eq!((plain.format, plain.threshold, plain.predict_proba), (None, 0.5, false));
        assert!(plain.gives_classes(Task::Binary) && !plain.gives_classes(Task::Regression));
        let written = [("model_type", "xgboost_ubj"), ("threshold", "0.3"), ("cpu_nthread", "2")];
        let written = ModelSettings::from_config(&config(&written)).unwrap();
        assert_eq!((written.format, written.threshold, written.threads), (Some(Format::XgboostUbjson), 0.3, 2));
        for name in ["output_class", "is_classifier"] {
            assert!(!ModelSettings::from_config(&config(&[(name, "false")])).unwrap().gives_classes(Task::Binary));
            assert!(ModelSettings::from_config(&config(&[(name, "true")])).unwrap().gives_classes(Task::Regression));
        }
        let both = ModelSettings::from_config(&config(&[("output_class", "true"), ("predict_proba", "true")])).unwrap();
        assert!(!both.gives_classes(Task::Binary));
    }

    #[test]
    fn what_tunes_upstream_is_taken_and_changes_nothing() {
        let tuning = [
            ("algo", "BATCH_TREE_REORG"),
            ("storage_type", "SPARSE8"),
            ("layout", "layered"),
            ("blocks_per_sm", "2"),
            ("threads_per_tree", "4"),
            ("chunk_size", "8"),
            ("transfer_threshold", "2"),
            ("use_experimental_optimizations", "true"),
        ];
        let read = |parameters| ModelSettings::from_config(&config(parameters)).unwrap();
        assert_eq!(read(&tuning), read(&[]));
    }

    #[test]
    fn wrong_values_are_refused_by_name() {
        for (name, value, expected) in [
            ("model_type", "pickle", "expected one of xgboost_json, xgboost_ubj, "),
            ("output_class", "yes", "expected true or false"),
            ("is_classifier", "2", "expected true or false"),
            ("predict_proba", "", "expected true or false"),
            ("threshold", "half", "expected a number"),
            ("threshold", "inf", "expected a number"),
            ("algo", "FAST", "expected one of ALGO_AUTO, NAIVE, TREE_REORG, BATCH_TREE_REORG"),
            ("storage_type", "sparse", "expected one of AUTO, DENSE, SPARSE, SPARSE8"),
            ("layout", "flat", "expected one of depth_first, breadth_first, layered"),
            ("blocks_per_sm", "-1", "expected a whole number from 0"),
            ("threads_per_tree", "many", "expected a whole number from 0"),
            ("chunk_size", "1.5", "expected a whole number from 0"),
            ("transfer_threshold", "-2", "expected a whole number from 0"),
            ("use_experimental_optimizations", "maybe", "expected true or false"),
            ("xgboost_allow_unknown_field", "ja", "expected true or false"),
            ("cpu_nthread", "257", "expected 1 to 256, or -1 for all"),
        ] {
            let error = ModelSettings::from_config(&config(&[(name, value)])).unwrap_err();
            let text = format!("model 'm': parameter '{name}' is '{value}', {expected}");
            assert!(error.message().starts_with(&text), "{error}");
        }
    }
}
