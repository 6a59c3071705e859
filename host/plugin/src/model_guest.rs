//! The guest of one instance of a model that executes batches.
//!
//! Promises: every request of a batch has an outcome, whatever the guest does; a request whose sender the guest keeps is ended
//! at its deadline. A guest that trapped, was stopped or was abandoned is replaced before the next batch.

use std::{
    future::poll_fn,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use nereid_inference::{CheckedRequest, InferError, InferResponse, ResponseSender};
use tokio::runtime::Handle;

use crate::{
    failure::{CallFailure, PluginError},
    metering::count_answer,
    output,
    plugin::Plugin,
    sandbox::{Answer, Question},
    seat::Seat,
    sender::SenderSlot,
};

/// How long a guest that waits may go on when all clients of its batch are gone: enough for an answer that is nearly there and
/// for the guest to leave in order.
const CANCELLATION_GRACE: Duration = Duration::from_millis(100);

/// The guest of an instance. Readiness checks and draining find it through its plugin.
pub struct ModelGuest {
    plugin: Arc<Plugin>,
    seat: Arc<Seat>,
}

/// What came of one request.
#[derive(Debug)]
pub enum Outcome {
    /// The answer, to be given through the sender.
    Answered(ResponseSender, Result<InferResponse, InferError>),
    /// The guest answers through the sender, or did.
    Elsewhere,
    /// The request is to be executed again; the outputs are states.
    Rescheduled(ResponseSender, InferResponse),
}

// === impl ModelGuest ===

impl ModelGuest {
    /// An initialised guest for the model's instance of that name. Blocks the calling thread while it starts.
    ///
    /// # Errors
    /// It cannot be started, or refuses to be initialised.
    pub fn start(plugin: Arc<Plugin>, instance: &str) -> Result<Self, PluginError> {
        let instance = Arc::from(instance);
        let guest = plugin.start_guest(&instance)?;
        Ok(Self { seat: Seat::new(plugin.clone(), instance, guest), plugin })
    }

    /// Waits until the guest has said for the first time whether it can work, if it does, so that nobody finds a model not ready that
    /// was not asked. Blocks, no longer than a check may take; must be called within a runtime, and on none of its workers.
    pub fn ask_first(&self) {
        self.seat.ask_first();
    }

    /// Executes a batch; the outcomes are in the order of the requests. Dropping the future ends the guest, and answers the
    /// requests with an error.
    pub async fn execute(&mut self, requests: &[&CheckedRequest], senders: Vec<ResponseSender>) -> Vec<Outcome> {
        if requests.is_empty() {
            return Vec::new();
        }
        let deadline = Instant::now() + self.plugin.spec.limits.wall_time_max;
        let questions: Vec<Question<'_>> = requests
            .iter()
            .zip(senders)
            .map(|(request, sender)| Question {
                request,
                slot: SenderSlot::new(&self.plugin.spec, request, sender, deadline),
            })
            .collect();
        let answers = self.answer(&questions).await;
        let answers =
            answers.unwrap_or_else(|error| questions.iter().map(|_| Answer::Now(Err(error.clone()))).collect());
        questions.into_iter().zip(answers).map(|(question, answer)| self.outcome(&question, answer)).collect()
    }

    async fn answer(&self, questions: &[Question<'_>]) -> Result<Vec<Answer>, InferError> {
        let plugin = self.plugin.clone();
        let pass = plugin.gate.enter()?;
        let answers = self.answer_in_a_guest(questions).await;
        pass.end(&answers);
        answers.map_err(|failure| failure.error)
    }

    async fn answer_in_a_guest(&self, questions: &[Question<'_>]) -> Result<Vec<Answer>, CallFailure> {
        let mut place = self.seat.lock().await;
        let guest = self.seat.take(&mut place).await?;
        let executed = tokio::select! {
            biased;
            executed = guest.execute(&self.plugin, questions) => executed,
            () = abandoned(questions) => (None, Err(CallFailure::unknown(InferError::cancelled("the client is gone")))),
        };
        let (guest, answers) = executed;
        self.seat.put_back(&mut place, guest).await;
        answers
    }

    /// What an answer means for its request.
    fn outcome(&self, question: &Question<'_>, answer: Answer) -> Outcome {
        let slot = &question.slot;
        let undeferrable = slot.end_execution();
        if matches!(answer, Answer::Deferred) && undeferrable.is_none() {
            if slot.is_open() {
                tokio::spawn(slot.clone().watch());
            }
            return Outcome::Elsewhere;
        }
        let (spec, request) = (&self.plugin.spec, question.request);
        let Some(sender) = slot.take() else { return Outcome::Elsewhere };
        let rows = request.batch_size();
        match answer {
            Answer::Now(result) => {
                let wants = |name: &str| request.wants(name);
                let checked = result.and_then(|response| output::check(spec, rows, wants, response));
                count_answer(slot.usage(), &checked);
                Outcome::Answered(sender, checked)
            }
            Answer::Deferred => {
                let unexplained = || InferError::internal(format!("{} deferred the request", spec.subject()));
                slot.usage().failed();
                Outcome::Answered(sender, Err(undeferrable.unwrap_or_else(unexplained)))
            }
            Answer::Again(states) => {
                let checked = states.and_then(|response| {
                    output::check_outputs(spec, rows, &response.outputs)?;
                    Ok(response)
                });
                match checked {
                    Ok(response) => Outcome::Rescheduled(sender, response),
                    Err(error) => {
                        slot.usage().failed();
                        Outcome::Answered(sender, Err(error))
                    }
                }
            }
        }
    }
}

/// The guest is drained and finalised in the background; without a runtime, where nothing can wait, it just ends.
impl Drop for ModelGuest {
    fn drop(&mut self) {
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(self.seat.clone().leave());
        }
    }
}

/// Completes when all clients of the batch are gone and have been for a while.
async fn abandoned(questions: &[Question<'_>]) {
    let mut gone = vec![false; questions.len()];
    poll_fn(|context| {
        for (gone, question) in gone.iter_mut().zip(questions) {
            *gone = *gone || question.slot.poll_abandoned(context).is_ready();
        }
        if gone.iter().all(|gone| *gone) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    tokio::time::sleep(CANCELLATION_GRACE).await;
}
