//! The identity backend through its seam: the contract, delays, and what is refused at load.

use std::{
    future::Future,
    task::{Context, Waker},
    time::Instant,
};

use nereid_backend::{Batch, contract};
use nereid_inference::{
    InferRequest, LoadClock, ModelIdentity, NamedTensor, ResponseStream, Signature,
    config::{ModelInput, ModelOutput},
    response_channel,
};
use nereid_tensor::{DataType, Tensor};

use super::*;

fn source(types: &[(DataType, DataType)], parameters: &[(&str, &str)]) -> ModelSource {
    let named = |(index, pair): (usize, &(DataType, DataType))| {
        let input = ModelInput {
            name: format!("INPUT{index}"),
            data_type: pair.0.into(),
            dims: vec![-1],
            ..ModelInput::default()
        };
        let output = ModelOutput {
            name: format!("OUTPUT{index}"),
            data_type: pair.1.into(),
            dims: vec![-1],
            ..ModelOutput::default()
        };
        (input, output)
    };
    let (inputs, outputs) = types.iter().enumerate().map(named).unzip();
    let parameters = parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let config =
        ModelConfig { name: "echo".into(), max_batch_size: 8, inputs, outputs, parameters, ..ModelConfig::default() };
    ModelSource {
        identity: ModelIdentity::new("echo", 1),
        model_directory: "echo".into(),
        version_directory: "echo/1".into(),
        config,
        clock: LoadClock::default(),
    }
}

fn load_error(source: &ModelSource) -> String {
    match IdentityBackend::default().load(source) {
        Ok(_) => unreachable!("it loaded"),
        Err(error) => error.message().to_owned(),
    }
}

fn inputs() -> Vec<NamedTensor> {
    vec![
        NamedTensor::new("INPUT0", Tensor::from_elements([1, 2], &[1.5_f32, -2.0]).unwrap()),
        NamedTensor::new("INPUT1", Tensor::from_byte_strings([1, 2], &["a", ""]).unwrap()),
    ]
}

fn mixed(parameters: &[(&str, &str)]) -> ModelSource {
    source(&[(DataType::Fp32, DataType::Fp32), (DataType::Bytes, DataType::Bytes)], parameters)
}

/// Executes one request and hands out its stream.
async fn execute(source: &ModelSource, request: InferRequest) -> ResponseStream {
    let spec = InstanceSpec { name: "echo_0".into(), kind: Default::default(), device_id: 0 };
    let Instance::Task(mut instance) = IdentityBackend::default().load(source).unwrap().new_instance(&spec).unwrap()
    else {
        unreachable!("identity does not block");
    };
    let checked = Signature::from_config(&source.config).unwrap().check(request).unwrap();
    let (sender, stream) = response_channel();
    let mut batch = Batch::new([(checked, sender)]);
    instance.execute(&mut batch).await;
    for finished in batch.finish() {
        let (sender, result) = finished.answer.unwrap();
        sender.respond(result);
    }
    stream
}

#[tokio::test]
async fn keeps_the_contract_of_every_backend() {
    let source = mixed(&[]);
    let model = IdentityBackend::default().load(&source).unwrap();
    let signature = Signature::from_config(&source.config).unwrap();
    contract::check(contract::ContractCase { model: &*model, signature, inputs: inputs() }).await;
}

#[tokio::test]
async fn gives_back_the_very_same_memory() {
    let inputs = inputs();
    let response = execute(&mixed(&[]), InferRequest::new(inputs.clone())).await.single().await.unwrap();
    for (input, output) in inputs.iter().zip(&response.outputs) {
        assert_eq!(input.tensor.buffer().as_slice().as_ptr(), output.tensor.buffer().as_slice().as_ptr());
        assert_eq!(input.tensor.shape(), output.tensor.shape());
    }
}

#[tokio::test]
async fn gives_only_the_outputs_that_are_wanted() {
    let request = InferRequest { requested_outputs: vec!["OUTPUT1".into()], ..InferRequest::new(inputs()) };
    let response = execute(&mixed(&[]), request).await.single().await.unwrap();
    assert_eq!(response.outputs.iter().map(|output| &*output.name).collect::<Vec<_>>(), ["OUTPUT1"]);
}

#[tokio::test]
async fn a_delay_gives_the_thread_back_until_the_timer_fires() {
    let source = mixed(&[("execute_delay_ms", "20")]);
    let start = Instant::now();
    let mut execution = Box::pin(execute(&source, InferRequest::new(inputs())));
    let first_poll = execution.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(first_poll.is_pending());
    assert!(execution.await.single().await.is_ok());
    assert!(start.elapsed() >= Duration::from_millis(20));
}

#[test]
fn refuses_a_pair_of_different_types() {
    assert_eq!(
        load_error(&source(&[(DataType::Fp32, DataType::Fp32), (DataType::Int8, DataType::Int16)], &[])),
        "model 'echo': output 'OUTPUT1' is TYPE_INT16, but input 'INPUT1', which the identity backend gives back there, \
         is TYPE_INT8; declare both alike"
    );
}

#[test]
fn refuses_a_pair_of_different_dims() {
    let mut source = mixed(&[]);
    source.config.inputs[0].dims = vec![2, -1];
    source.config.outputs[0].dims = vec![3, 4];
    assert!(load_error(&source).contains("output 'OUTPUT0' is [3,4], but input 'INPUT0'"));
}

#[test]
fn refuses_more_outputs_than_inputs() {
    let mut source = mixed(&[]);
    source.config.inputs.pop();
    assert!(load_error(&source).starts_with("model 'echo' has 1 inputs and 2 outputs, but the identity backend"));
}

#[test]
fn refuses_a_delay_that_is_no_number_or_too_long() {
    for text in ["soon", "-1", "3600001", "1.5"] {
        assert_eq!(
            load_error(&mixed(&[("execute_delay_ms", text)])),
            format!(
                "model 'echo': parameter 'execute_delay_ms' is '{text}', expected whole milliseconds from 0 to 3600000"
            )
        );
    }
}

#[test]
fn refuses_an_instance_on_a_device_that_is_not_there() {
    let spec = InstanceSpec { name: "echo_0_0".into(), kind: InstanceKind::Gpu, device_id: 0 };
    let Err(error) = IdentityBackend::default().load(&mixed(&[])).unwrap().new_instance(&spec) else {
        panic!("an instance on no device");
    };
    assert_eq!(error.message(), "instance 'echo_0_0' is of KIND_GPU, and there is no GPU 0 here");
}
