//! What a model answers: names and dims of its tensors, and how scores become an answer.

use nereid_forest::{Forest, Task};
use nereid_inference::{
    InferError, ModelConfig,
    config::{ConfigDataType, ModelInput, ModelOutput},
};
use nereid_tensor::DataType;

use crate::settings::ModelSettings;

/// Names that Triton's backend has for its tensors, and so do its clients.
pub(crate) const INPUT: &str = "input__0";
pub(crate) const OUTPUT: &str = "output__0";
/// SHAP values, given when the configuration lists them.
pub(crate) const SHAP_OUTPUT: &str = "treeshap_output";

/// What the numbers of a row's answer are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answer {
    /// The scores, as they are.
    Scores,
    /// Of the one score, and what is left to one before it.
    BothClasses,
    /// Per target: 1 where the score exceeds this, else 0.
    Above(f32),
    /// Per target: the class with the highest score.
    Highest,
}

/// A model's answer and its lengths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AnswerShape {
    pub(crate) answer: Answer,
    pub(crate) feature_count: usize,
    /// Numbers in the answer to one row.
    pub(crate) length: usize,
    /// Scores of one row; SHAP values account for each of them.
    pub(crate) output_count: usize,
}

// === impl AnswerShape ===

impl AnswerShape {
    /// What settings and dims ask of a forest.
    pub(crate) fn of(forest: &Forest, settings: ModelSettings, config: &ModelConfig) -> Self {
        let written = config.outputs.iter().find(|output| output.name == OUTPUT).and_then(|output| output.dims.last());
        let is_pair = settings.predict_proba && forest.output_count() == 1 && written == Some(&2);
        let answer = match (settings.gives_classes(forest.task), forest.classes) {
            (true, 1) => Answer::Above(settings.threshold),
            (true, _) => Answer::Highest,
            (false, _) if is_pair && forest.task == Task::Binary => Answer::BothClasses,
            (false, _) => Answer::Scores,
        };
        let length = match answer {
            Answer::Scores => forest.output_count(),
            Answer::BothClasses => 2,
            Answer::Above(_) | Answer::Highest => forest.targets,
        };
        Self { answer, feature_count: forest.feature_count, length, output_count: forest.output_count() }
    }

    /// Dims of the SHAP values of one row: the features and the expected value, by score when there are several.
    pub(crate) fn shap_dims(self) -> Vec<i64> {
        let values = as_dim(self.feature_count + 1);
        if self.output_count == 1 { vec![values] } else { vec![as_dim(self.output_count), values] }
    }

    /// Compares it with a complete configuration.
    ///
    /// # Errors
    /// The first tensor that is not what the model has, with both sides.
    pub(crate) fn check(self, config: &ModelConfig) -> Result<(), InferError> {
        let failed = |text: String| InferError::invalid_argument(format!("model '{}': {text}", config.name));
        let [input] = config.inputs.as_slice() else {
            return Err(failed(format!(
                "the configuration has {} inputs, expected one: '{INPUT}' TYPE_FP32 [{}]",
                config.inputs.len(),
                self.feature_count
            )));
        };
        self.check_input(input, config).map_err(failed)?;
        let rows = rows_of(input, config);
        for output in &config.outputs {
            self.check_output(output, rows).map_err(failed)?;
        }
        match config.outputs.iter().any(|output| output.name == OUTPUT) {
            true => Ok(()),
            false => Err(failed(format!("the configuration lacks the output '{OUTPUT}' TYPE_FP32 [{}]", self.length))),
        }
    }

    fn check_input(self, input: &ModelInput, config: &ModelConfig) -> Result<(), String> {
        let expected = [as_dim(self.feature_count)];
        let is_right = input.name == INPUT && is_float(input.data_type) && input.dims.ends_with(&expected);
        let is_row = config.max_batch_size == 0 || input.dims.len() == 1;
        if is_right && is_row {
            return Ok(());
        }
        let (found, expected) = (print(&input.name, input.data_type, &input.dims), self.feature_count);
        Err(format!("input {found} is in the configuration, but the forest takes '{INPUT}' TYPE_FP32 [{expected}]"))
    }

    fn check_output(self, output: &ModelOutput, rows: &[i64]) -> Result<(), String> {
        let (dims, hint) = match output.name.as_str() {
            OUTPUT => (vec![as_dim(self.length)], self.hint()),
            SHAP_OUTPUT => (self.shap_dims(), ""),
            name => {
                let known = format!("'{OUTPUT}', and '{SHAP_OUTPUT}' for SHAP values");
                return Err(format!("the forest has no output '{name}'; its outputs are {known}"));
            }
        };
        // Upstream's SHAP values lie in one dimension; as many numbers in the same order are as good.
        let flat = dims.iter().product();
        let with_rows = |dims: &[i64]| -> Vec<i64> { rows.iter().chain(dims).copied().collect() };
        let expected = with_rows(&dims);
        if is_float(output.data_type) && (output.dims == expected || output.dims == with_rows(&[flat])) {
            return Ok(());
        }
        let (found, expected) = (print(&output.name, output.data_type, &output.dims), print_dims(&expected));
        Err(format!("output {found} is in the configuration, but the forest gives TYPE_FP32 {expected}{hint}"))
    }

    fn hint(self) -> &'static str {
        match self.answer {
            Answer::Above(_) | Answer::Highest => {
                "; that is the class, for scores of classes set the parameter 'predict_proba' to 'true'"
            }
            Answer::Scores | Answer::BothClasses => "",
        }
    }

    /// Makes the answer of one target or row from its scores.
    pub(crate) fn answer(self, scores: &[f32], classes: usize, answers: &mut [f32]) {
        match self.answer {
            Answer::Scores => answers.copy_from_slice(scores),
            Answer::BothClasses => {
                for (score, pair) in scores.iter().zip(answers.chunks_exact_mut(2)) {
                    pair.copy_from_slice(&[1.0 - score, *score]);
                }
            }
            Answer::Above(threshold) => {
                for (score, answer) in scores.iter().zip(answers) {
                    *answer = if *score > threshold { 1.0 } else { 0.0 };
                }
            }
            Answer::Highest => {
                for (scores, answer) in scores.chunks_exact(classes.max(1)).zip(answers) {
                    *answer = highest(scores) as f32;
                }
            }
        }
    }
}

/// Dimensions before the features, of a model that does not batch.
fn rows_of<'a>(input: &'a ModelInput, config: &ModelConfig) -> &'a [i64] {
    match config.max_batch_size {
        0 => input.dims.split_last().map(|(_, rows)| rows).unwrap_or_default(),
        _ => &[],
    }
}

/// Place of the highest score; the first of equal ones, as NumPy has it.
fn highest(scores: &[f32]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (index, score) in scores.iter().enumerate() {
        if *score > best.1 {
            best = (index, *score);
        }
    }
    best.0
}

pub(crate) fn as_dim(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn is_float(data_type: ConfigDataType) -> bool {
    data_type == DataType::Fp32.into()
}

fn print(name: &str, data_type: ConfigDataType, dims: &[i64]) -> String {
    format!("'{name}' {} {}", data_type.config_name(), print_dims(dims))
}

fn print_dims(dims: &[i64]) -> String {
    let texts: Vec<String> = dims.iter().map(i64::to_string).collect();
    format!("[{}]", texts.join(","))
}
