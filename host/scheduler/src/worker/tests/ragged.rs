//! Requests whose inputs differ in shape: apart, or together where the input is ragged.

use super::*;

/// The numbers of requests per execution, of three that arrive while the instance is busy and differ in shape.
async fn executions_of_three_shapes(ragged_inputs: RaggedInputs) -> Vec<usize> {
    let (instance, mut begins, opener) = gate();
    let (scheduler, _) = start(SchedulerSettings { ragged_inputs, ..batching(Duration::ZERO) }, instance);
    let signature = Signature {
        inputs: vec![TensorSpec { name: "X".into(), data_type: DataType::Fp32, dims: vec![-1], optional: false }],
        max_batch_size: 8,
        ..Signature::default()
    };
    let streams: Vec<_> = (0..4_u64)
        .map(|length| {
            let tensor = Tensor::from_elements([1, length], &vec![0.0_f32; length as usize]).unwrap();
            let request = signature.check(InferRequest::new(vec![NamedTensor::new("X", tensor)])).unwrap();
            let (sender, stream) = response_channel();
            scheduler.submit(request, sender);
            stream
        })
        .collect();
    (0..4).for_each(|_| opener.send(()).unwrap());
    for stream in streams {
        stream.single().await.unwrap();
    }
    std::iter::from_fn(|| begins.try_recv().ok()).collect()
}

#[tokio::test]
async fn shapes_keep_requests_apart_unless_the_input_is_ragged() {
    assert_eq!(executions_of_three_shapes(RaggedInputs::default()).await, [1, 1, 1, 1]);
    assert_eq!(executions_of_three_shapes(RaggedInputs::new(["X".into()])).await, [1, 3]);
    assert_eq!(executions_of_three_shapes(RaggedInputs::new(["Y".into()])).await, [1, 1, 1, 1]);
}

#[tokio::test]
async fn every_batch_is_noted_with_its_reason_and_its_instance() {
    let (instance, mut begins, opener) = gate();
    let (scheduler, notes) = start(batching(Duration::ZERO), instance);
    let streams: Vec<_> = (0..10).map(|value| submit(&scheduler, value as f32)).collect();
    for _ in 0..3 {
        begins.recv().await.unwrap();
        opener.send(()).unwrap();
    }
    for stream in streams {
        stream.single().await.unwrap();
    }
    let decisions = notes.decisions.lock();
    let noted = |decision: &BatchDecision| {
        (decision.requests, decision.rows, decision.reason, decision.awaited, decision.waiting)
    };
    let expected = [
        (1, 1, BatchReason::NoDelay, Awaited::Nothing, 0),
        (8, 8, BatchReason::Full, Awaited::Instance, 1),
        (1, 1, BatchReason::NoDelay, Awaited::Instance, 0),
    ];
    assert_eq!(decisions.iter().map(noted).collect::<Vec<_>>(), expected);
    assert!(decisions.iter().all(|decision| &*decision.instance == "m_0"));
    assert_eq!(decisions[0].oldest_wait, Duration::ZERO);
    assert!(decisions[1..].iter().all(|decision| !decision.oldest_wait.is_zero()));
}
