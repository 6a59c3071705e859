//! Scores in, the likeliest labels with their probabilities out.
//!
//! Input `logits`: FP32 `[n, classes]`. Outputs, the likeliest first: `label` BYTES `[n, k]`, `probability` FP32
//! `[n, k]`.
//!
//! Settings: `labels`, the texts of the classes in order, separated by commas; `top_k`, how many are given (default 3);
//! `scores`, `logits` (the default, of which softmax makes probabilities) or `probabilities`.

mod ranking;

use nereid_sdk::{Error, Inputs, Request, Response, Tensor, Transform, export_transform, setting, setting_or};

use crate::ranking::{Labels, Scores, top};

const TOP_K_DEFAULT: usize = 3;

struct LabelMapper {
    labels: Labels,
    scores: Scores,
    top_k: usize,
}

// === impl LabelMapper ===

impl Transform for LabelMapper {
    fn new() -> Result<Self, Error> {
        let labels = Labels::parse(&setting("labels").unwrap_or_default())?;
        let top_k = labels.check_top_k(setting_or("top_k", TOP_K_DEFAULT)?)?;
        Ok(Self { labels, scores: Scores::parse(setting("scores").as_deref())?, top_k })
    }

    fn run(&mut self, _request: &Request, inputs: Inputs) -> Result<Response, Error> {
        let logits = inputs.tensor("logits")?;
        let classes = self.labels.check_shape(&logits.shape())?;
        let (mut labels, mut probabilities) = (Vec::new(), Vec::new());
        let values = logits.as_f32()?;
        for (row, values) in values.chunks_exact(classes).enumerate() {
            let ranked = top(values, self.scores, self.top_k)
                .map_err(|error| error.prefixed(format_args!("row {row} of input 'logits': ")))?;
            labels.extend(ranked.iter().map(|ranked| self.labels.text(ranked.class)));
            probabilities.extend(ranked.iter().map(|ranked| ranked.probability));
        }
        let shape = [(values.len() / classes) as u64, self.top_k as u64];
        Ok(Response::new()
            .output("label", Tensor::from_blobs(&shape, &labels)?)
            .output("probability", Tensor::from_f32(&shape, &probabilities)?))
    }
}

export_transform!(LabelMapper);
