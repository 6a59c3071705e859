//! Asks all models of a panel the same question at once, and gives the mean of the probabilities of those that answer in time.
//!
//! Input and output are those of the models: one tensor of scores, FP32 `[n, classes]`, comes back as `probability` of that shape. The
//! output's parameters say `asked` and `answered`, how many models that was.
//!
//! Settings: `models`, between commas; `scores`, the models' output (default `logits`); `timeout_ms`, how long a model is waited for
//! (default 1,000); `quorum`, how many must have answered (default all but one). A model that fails, or is late, is left out, and the
//! log says why; a client's own mistake is answered as the first model says it. Requests that the host batched are asked about at the
//! same time, so that the models may batch them again.

mod opinion;

use std::{future::IntoFuture, time::Duration};

use nereid_sdk::{
    AsyncModel, Error, ErrorCode, Outcome, Request, Response, Tensor, export_async_model, infer, join_all, log,
    setting, setting_or,
};

use crate::opinion::{Opinions, Panel};

struct ModelPanel {
    panel: Panel,
    scores: String,
    timeout: Duration,
}

// === impl ModelPanel ===

impl AsyncModel for ModelPanel {
    async fn new() -> Result<Self, Error> {
        let models = setting("models").unwrap_or_default();
        Ok(Self {
            panel: Panel::parse(&models, setting("quorum").as_deref())?,
            scores: setting("scores").unwrap_or_else(|| "logits".to_owned()),
            timeout: Duration::from_millis(setting_or("timeout_ms", 1000)?),
        })
    }

    async fn execute(&self, batch: Vec<Request>) -> Vec<Outcome> {
        join_all(batch.iter().map(async |request| Outcome::from(self.answer(request).await))).await
    }
}

impl ModelPanel {
    async fn answer(&self, request: &Request) -> Result<Response, Error> {
        let inputs = request.inputs()?;
        let asked = self.panel.models().iter().map(|model| {
            let call = infer(model).outputs([self.scores.as_str()]).timeout(self.timeout);
            inputs.iter().fold(call, |call, (name, tensor)| call.input(name, tensor)).into_future()
        });
        let answers = join_all(asked).await;
        let mut opinions = Opinions::default();
        for (model, answer) in self.panel.models().iter().zip(answers) {
            match answer.and_then(|answer| self.hear(&mut opinions, &answer)) {
                Err(error) if is_clients_own(error.code()) => return Err(error),
                Err(error) => log::warn!("{model} is left out: {error}"),
                Ok(()) => {}
            }
        }
        self.panel.check_quorum(opinions.count())?;
        let (asked, answered) = (self.panel.models().len() as i64, opinions.count() as i64);
        let (shape, mean) = opinions.mean();
        let response = Response::new().output("probability", Tensor::from_f32(&shape, &mean)?);
        Ok(response.parameter("asked", asked).parameter("answered", answered))
    }

    fn hear(&self, opinions: &mut Opinions, answer: &Response) -> Result<(), Error> {
        let scores = answer.tensor(&self.scores)?;
        opinions.add(&scores.shape(), &scores.as_f32()?)
    }
}

/// Whether no model would answer it better.
fn is_clients_own(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::InvalidArgument | ErrorCode::Permission | ErrorCode::Cancelled)
}

export_async_model!(ModelPanel);
