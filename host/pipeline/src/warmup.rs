//! Requests that every instance executes before the model counts as ready, so that the first client does not pay for
//! what a runtime does on first use.
//!
//! Promises: the samples are checked like clients' requests and run on each instance, each as often as it says; a
//! failure fails the load. They appear in no statistics. Costs the time of the executions, during the load.
//! Besides those of the configuration they are requests that the generation before has answered (`kept_requests.rs`).
//! Source: `ModelWarmup` of Triton's model configuration.

mod data;

use std::panic::{AssertUnwindSafe, catch_unwind};

use nereid_backend::{Batch, Instance};
use nereid_inference::{
    CheckedRequest, InferError, InferRequest, ModelSource, NamedTensor, Reshapes, ResponseStream, Signature,
    config::{WarmupInput, WarmupSample},
    response_channel,
};
use nereid_memory::Warmed;
use tokio::runtime::Handle;

use crate::sequences::lone_request_inputs;

/// What each instance of a model is to execute.
#[derive(Debug)]
pub(crate) struct Warmup {
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    origin: Origin,
    /// Executed together.
    requests: Vec<CheckedRequest>,
    /// At least 1.
    count: u32,
}

#[derive(Debug)]
enum Origin {
    /// The sample of that name in the configuration.
    Config(String),
    /// A request that the generation before has answered.
    Traffic,
}

// === impl Warmup ===

impl Warmup {
    /// Makes the requests that the configuration describes; reads their files.
    ///
    /// # Errors
    /// `InvalidArgument`, naming model, sample and input: a sample does not fit the model, or its file cannot be used.
    pub(crate) fn read(source: &ModelSource) -> Result<Self, InferError> {
        let signature = Signature::with_sequences(&source.config)?;
        let samples = source.config.warmup.iter().filter(|sample| sample.batch_size > 0);
        let samples = samples.map(|sample| {
            Sample::read(sample, source, &signature).map_err(|problem| {
                let (model, sample) = (&source.identity.name, &sample.name);
                InferError::invalid_argument(format!("warm-up sample '{sample}' of model '{model}': {problem}"))
            })
        });
        Ok(Self { samples: samples.collect::<Result<_, _>>()? })
    }

    /// The same warm-up, with requests that the generation before has answered. Those that do not fit the new signature are left
    /// out: another signature is no fault.
    pub(crate) fn with_traffic(self, requests: Vec<InferRequest>, source: &ModelSource) -> Result<Self, InferError> {
        let mut warmup = self;
        let signature = Signature::from_config(&source.config)?;
        let reshapes = Reshapes::of(&source.config);
        let kept = requests.len();
        let fitting = requests.into_iter().filter_map(|request| {
            let mut request = signature.check(request).ok()?;
            reshapes.as_ref().map_or(Ok(()), |reshapes| reshapes.to_backend(&mut request)).ok()?;
            Some(Sample { origin: Origin::Traffic, requests: vec![request], count: 1 })
        });
        let before = warmup.samples.len();
        warmup.samples.extend(fitting);
        if kept > 0 {
            let tried = warmup.samples.len() - before;
            tracing::info!("{} is tried with {tried} of {kept} kept requests", source.identity);
        }
        Ok(warmup)
    }

    /// Executes the samples on one instance, and says what they took. Blocks; must not be called on one of the runtime's own
    /// workers.
    ///
    /// # Errors
    /// What the first failing sample was answered with, in Triton's words.
    pub(crate) fn run(&self, instance: &mut Instance, runtime: &Handle) -> Result<Warmed, InferError> {
        let mut most = Warmed::default();
        for sample in &self.samples {
            for _ in 0..sample.count {
                let failed = |error: InferError| InferError::new(error.kind(), sample.failure(error.message()));
                let warmed = sample.execute(instance, runtime).map_err(failed)?;
                most = most.max(warmed);
            }
        }
        Ok(most)
    }
}

// === impl Sample ===

impl Sample {
    fn read(sample: &WarmupSample, source: &ModelSource, signature: &Signature) -> Result<Self, String> {
        let rows_max = signature.max_batch_size.max(1);
        if u64::from(sample.batch_size) > rows_max {
            return Err(format!("'batch_size' is {}, expected at most {rows_max}", sample.batch_size));
        }
        let tensor = |(name, input): (&String, &WarmupInput)| {
            let tensor = data::tensor(input, &source.model_directory, signature.max_batch_size > 0)
                .map_err(|problem| format!("input '{name}' {problem}"))?;
            Ok(NamedTensor::new(name.as_str(), tensor))
        };
        let mut inputs = sample.inputs.iter().map(tensor).collect::<Result<Vec<_>, String>>()?;
        // A sample may say what the host would tell a model of sequences; it need not.
        let told = lone_request_inputs(source).map_err(|error| error.message().to_owned())?;
        inputs.extend(told.into_iter().filter(|input| !sample.inputs.contains_key(&*input.name)));
        let request = InferRequest { id: format!("warmup-{}", sample.name), ..InferRequest::new(inputs) };
        let mut request = signature.check(request).map_err(|error| error.message().to_owned())?;
        if let Some(reshapes) = Reshapes::of(&source.config) {
            reshapes.to_backend(&mut request).map_err(|error| error.message().to_owned())?;
        }
        let requests = (0..sample.batch_size).map(|_| request.clone()).collect();
        Ok(Self { origin: Origin::Config(sample.name.clone()), requests, count: sample.count.max(1) })
    }

    /// Why the model is not loaded; of a configured sample in Triton's words.
    fn failure(&self, error: &str) -> String {
        match &self.origin {
            Origin::Config(name) => format!("failed to run warmup sample '{name}': {error};"),
            Origin::Traffic => format!(
                "it fails on a request that the generation before has answered: {error}; where that is as it should be, load it with \
                 the parameter 'swap_warmup_requests' set to 0"
            ),
        }
    }

    fn execute(&self, instance: &mut Instance, runtime: &Handle) -> Result<Warmed, InferError> {
        let (jobs, streams): (Vec<_>, Vec<ResponseStream>) = self
            .requests
            .iter()
            .map(|request| {
                let (sender, stream) = response_channel();
                ((request.clone(), sender), stream)
            })
            .unzip();
        let mut batch = Batch::new(jobs);
        let executed = catch_unwind(AssertUnwindSafe(|| match instance {
            Instance::Blocking(instance) => instance.execute(&mut batch),
            Instance::Task(instance) => runtime.block_on(instance.execute(&mut batch)),
        }));
        executed.map_err(|_| InferError::internal("the backend panicked"))?;
        for finished in batch.finish() {
            match (finished.answer, finished.step) {
                (Some((sender, answer)), _) => sender.respond(answer),
                // One step of a request that would need more has warmed the model too.
                (None, Some(step)) => step.sender.finish(),
                (None, None) => {}
            }
        }
        let outputs = streams.into_iter().map(|stream| runtime.block_on(exhaust(stream)));
        let outputs = outputs.collect::<Result<Vec<u64>, InferError>>()?;
        Ok(self.warmed(&outputs))
    }

    /// From the bytes of each request's outputs.
    fn warmed(&self, output_bytes: &[u64]) -> Warmed {
        let inputs = self.requests.iter().flat_map(|request| &request.get().inputs);
        let input_bytes: u64 = inputs.map(|input| input.tensor.byte_size() as u64).sum();
        let rows = self.requests.iter().map(|request| request.batch_size().max(1));
        let of_rows = output_bytes.iter().zip(rows).map(|(bytes, rows)| bytes.div_ceil(rows));
        Warmed {
            batch_bytes: input_bytes + output_bytes.iter().sum::<u64>(),
            row_output_bytes: of_rows.max().unwrap_or_default(),
        }
    }
}

/// Waits for every response of a request: one that is answered late is part of the warm-up. Returns the bytes of the
/// largest one's outputs.
async fn exhaust(mut stream: ResponseStream) -> Result<u64, InferError> {
    let mut most = 0;
    while let Some(delivery) = stream.next().await {
        let outputs = delivery.response.transpose()?.map(|response| response.outputs).unwrap_or_default();
        most = most.max(outputs.iter().map(|output| output.tensor.byte_size() as u64).sum());
    }
    Ok(most)
}

#[cfg(test)]
mod tests;
