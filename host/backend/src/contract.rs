//! The list that every backend passes: called from each backend's own tests with a model of that backend.
//!
//! It panics with a sentence on the first broken promise, as tests do.

use nereid_inference::{
    CheckedRequest, InferError, InferRequest, InferResponse, NamedTensor, Signature, response_channel,
};

use crate::{Batch, Instance, LoadedModel};

/// A model under test and a request that it must answer.
pub struct ContractCase<'a> {
    pub model: &'a dyn LoadedModel,
    pub signature: Signature,
    /// Inputs of one good request.
    pub inputs: Vec<NamedTensor>,
}

/// Runs the whole list.
///
/// # Panics
/// On the first promise that the backend breaks.
pub async fn check(case: ContractCase<'_>) {
    answers_a_request_with_every_output(&case).await;
    gives_the_same_answer_from_a_second_instance(&case).await;
    answers_every_request_of_a_batch(&case).await;
    survives_an_empty_batch(&case).await;
}

async fn answers_a_request_with_every_output(case: &ContractCase<'_>) {
    let response = first(case.execute(&mut case.instance(), 1).await);
    for output in &case.signature.outputs {
        let tensor = response.output(&output.name);
        let tensor = tensor.unwrap_or_else(|| unreachable!("output '{}' is missing", output.name));
        assert_eq!(tensor.data_type(), output.data_type, "type of output '{}'", output.name);
    }
}

async fn gives_the_same_answer_from_a_second_instance(case: &ContractCase<'_>) {
    let one = first(case.execute(&mut case.instance(), 1).await);
    let two = first(case.execute(&mut case.instance(), 1).await);
    check_same(&one, &two, "two instances answered the same request differently");
}

async fn answers_every_request_of_a_batch(case: &ContractCase<'_>) {
    let mut instance = case.instance();
    let alone = first(case.execute(&mut instance, 1).await);
    let rows = case.checked().batch_size();
    let requests = if case.signature.max_batch_size >= 3 * rows { 3 } else { 1 };
    let answers = case.execute(&mut instance, requests).await;
    assert_eq!(answers.len(), requests, "answers to a batch of {requests}");
    for answer in answers {
        check_same(
            &alone,
            &answer.unwrap_or_else(|error| unreachable!("in a batch: {error}")),
            "batched answer differs",
        );
    }
}

async fn survives_an_empty_batch(case: &ContractCase<'_>) {
    let mut instance = case.instance();
    assert!(case.execute(&mut instance, 0).await.is_empty(), "an empty batch has no answers");
    first(case.execute(&mut instance, 1).await);
}

// === impl ContractCase ===

impl ContractCase<'_> {
    fn instance(&self) -> Instance {
        let spec = crate::InstanceSpec { name: "contract_0".into(), kind: Default::default(), device_id: 0 };
        self.model.new_instance(&spec).unwrap_or_else(|error| unreachable!("no instance: {error}"))
    }

    fn checked(&self) -> CheckedRequest {
        let request = InferRequest::new(self.inputs.clone());
        self.signature.check(request).unwrap_or_else(|error| unreachable!("bad contract case: {error}"))
    }

    async fn execute(&self, instance: &mut Instance, requests: usize) -> Vec<Result<InferResponse, InferError>> {
        let (senders, streams): (Vec<_>, Vec<_>) = (0..requests).map(|_| response_channel()).unzip();
        let mut batch = Batch::new(senders.into_iter().map(|sender| (self.checked(), sender)));
        match instance {
            Instance::Blocking(instance) => instance.execute(&mut batch),
            Instance::Task(instance) => instance.execute(&mut batch).await,
        }
        for finished in batch.finish() {
            if let Some((sender, result)) = finished.answer {
                sender.respond(result);
            }
        }
        let mut answers = Vec::new();
        for stream in streams {
            answers.push(stream.single().await);
        }
        answers
    }
}

fn first(answers: Vec<Result<InferResponse, InferError>>) -> InferResponse {
    let answer = answers.into_iter().next().unwrap_or_else(|| unreachable!("no answer at all"));
    answer.unwrap_or_else(|error| unreachable!("the contract's request failed: {error}"))
}

fn check_same(left: &InferResponse, right: &InferResponse, message: &str) {
    assert_eq!(left.outputs.len(), right.outputs.len(), "{message}: number of outputs");
    for (left, right) in left.outputs.iter().zip(&right.outputs) {
        assert_eq!(left.name, right.name, "{message}");
        assert_eq!(left.tensor.shape(), right.tensor.shape(), "{message}: shape of '{}'", left.name);
        assert_eq!(left.tensor.buffer().as_slice(), right.tensor.buffer().as_slice(), "{message}: '{}'", left.name);
    }
}
