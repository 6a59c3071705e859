//! An instance: a batch becomes numbered requests, and what the model says becomes their answers.
//!
//! Senders are kept by number from the start: a model may answer through them while it executes, and long after.

use std::{sync::Arc, time::Duration};

use nereid_backend::{Batch, BlockingInstance};
use nereid_inference::{CheckedRequest, InferError, InferResponse, ResponseSender};
use nereid_tensor::Buffer;

use crate::{
    context::ModelContext,
    messages::{Answer, Executed, Later},
    runner::Runner,
    supervisor::Supervisor,
};

/// How long a batch waits for a process that is being started anew.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// One process, or the place of one.
pub(crate) struct PythonInstance {
    pub(crate) model: Arc<ModelContext>,
    pub(crate) supervisor: Supervisor,
}

/// What is done with one request, once the model has executed.
enum Fate {
    Answered(Result<InferResponse, InferError>),
    Later(Later),
}

// === impl PythonInstance ===

impl PythonInstance {
    fn fates(&self, batch: &Batch, executed: Executed, payload: &Buffer) -> Vec<Fate> {
        let fate = |(answer, request): (Answer, &CheckedRequest)| match answer {
            Answer::Word(later) => Fate::Later(later),
            Answer::Response(row) => Fate::Answered(self.model.answer(row, payload, request)),
        };
        executed.answers.into_iter().zip(batch.requests()).map(fate).collect()
    }

    fn settle(runner: &Runner, batch: &mut Batch, (index, number): (usize, u64), fate: Fate) {
        let answer = match fate {
            // Who answers later has the number; whoever has answered already is gone.
            Fate::Later(Later::Deferred) => return,
            Fate::Later(Later::Again) => None,
            Fate::Answered(answer) => Some(answer),
        };
        let Some(sender) = runner.slots.close(number) else { return };
        match answer {
            Some(answer) => respond(batch, index, sender, answer),
            None => batch.reschedule(index, sender, InferResponse::default()),
        }
    }
}

impl BlockingInstance for PythonInstance {
    fn execute(&mut self, batch: &mut Batch) {
        if batch.is_empty() {
            return;
        }
        let runner = match self.supervisor.watch().runner(START_PATIENCE) {
            Ok(runner) => runner,
            Err(error) => return batch.fail_all(&error),
        };
        let senders: Vec<Option<ResponseSender>> = (0..batch.len()).map(|index| batch.take_sender(index)).collect();
        let opened = batch.requests().zip(senders);
        let numbers: Vec<u64> =
            opened.map(|(request, sender)| sender.map_or(0, |sender| runner.slots.open(request, sender))).collect();
        let fates = match runner.execute(batch, &numbers) {
            Ok((executed, payload)) => self.fates(batch, executed, &payload),
            Err(error) => numbers.iter().map(|_| Fate::Answered(Err(error.clone()))).collect(),
        };
        for (place, fate) in numbers.into_iter().enumerate().zip(fates) {
            Self::settle(&runner, batch, place, fate);
        }
    }

    /// A model may call others, which need the threads that requests arrive on.
    fn may_wait(&self) -> bool {
        true
    }
}

fn respond(batch: &mut Batch, index: usize, sender: ResponseSender, answer: Result<InferResponse, InferError>) {
    batch.return_sender(index, sender);
    batch.respond(index, answer);
}
