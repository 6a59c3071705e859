//! Ensembles over fake members: what runs, what is shared, and what is refused at load.

mod pressure;

use std::time::Duration;

use nereid_backend::fake::FakeBehaviour;
use nereid_inference::{
    InferRequest, ModelConfig, ModelLoader, ModelSource, NamedTensor, ParameterValue, SequenceFlags, SequenceId,
    ServedModel,
    config::{
        EnsembleStep, ModelInput, ModelOutput, Reshape, ResponseCache, Scheduling, SequenceBatching, TransactionPolicy,
    },
};
use nereid_tensor::{DataType, Shape, Tensor};

use crate::test_service::{World, echo, ensemble, output, source, step, tensor};

#[tokio::test]
async fn tensors_flow_through_the_steps_without_being_copied() {
    let world = World::new(FakeBehaviour::default());
    world.load(echo("a", 2)).unwrap();
    world.load(echo("b", 2)).unwrap();
    world.load(ensemble("e", vec![step("b", "middle", "OUT"), step("a", "IN", "middle")])).unwrap();
    let sent = tensor("IN", &[1.0, 2.0]);
    let response = world.infer("e", vec![sent.clone()]).await.unwrap();
    let received = response.output("OUT").unwrap();
    assert_eq!(received.buffer().as_slice().as_ptr(), sent.tensor.buffer().as_slice().as_ptr());
    let statistics = world.service.model("e", None).unwrap().statistics();
    assert_eq!((statistics.inference_count, statistics.inference.success.count), (1, 1));
}

#[tokio::test]
async fn only_the_steps_that_the_outputs_need_are_run() {
    let world = World::new(FakeBehaviour::default());
    world.load(echo("a", 2)).unwrap();
    world.load(echo("b", 2)).unwrap();
    let mut config = ensemble("e", vec![step("a", "IN", "OUT"), step("b", "IN", "OTHER")]);
    config.outputs.push(output("OTHER", DataType::Fp32, 2));
    let model = world.load(config).unwrap();
    let mut request = InferRequest::new(vec![tensor("IN", &[1.0, 2.0])]);
    request.requested_outputs = vec!["OTHER".into()];
    let response = model.infer(request).single().await.unwrap();
    assert_eq!(response.outputs.len(), 1);
    let count = |name| world.service.model(name, None).unwrap().statistics().inference_count;
    assert_eq!((count("a"), count("b")), (0, 1));
}

#[tokio::test]
async fn a_failing_step_is_named() {
    let failing = FakeBehaviour { failure: Some("out of luck".into()), ..FakeBehaviour::default() };
    let world = World::new(failing);
    world.load(echo("a", 2)).unwrap();
    world.load(ensemble("e", vec![step("a", "IN", "OUT")])).unwrap();
    let error = world.infer("e", vec![tensor("IN", &[1.0, 2.0])]).await.unwrap_err();
    assert_eq!(error.message(), "in ensemble 'e', step 0 (model 'a'): out of luck");
    let page = world.telemetry.render();
    assert!(page.contains(r#"nv_inference_request_failure{model="e",reason="OTHER",version="1"} 1"#), "{page}");
}

#[tokio::test]
async fn ensembles_nest() {
    let world = World::new(FakeBehaviour { compute: Duration::from_micros(10), blocking: true, ..Default::default() });
    world.load(echo("a", 2)).unwrap();
    world.load(ensemble("inner", vec![step("a", "IN", "OUT")])).unwrap();
    let outer = EnsembleStep {
        model_name: "inner".into(),
        input_map: [("IN".to_owned(), "IN".to_owned())].into(),
        output_map: [("OUT".to_owned(), "OUT".to_owned())].into(),
        ..EnsembleStep::default()
    };
    world.load(ensemble("outer", vec![outer])).unwrap();
    assert!(world.infer("outer", vec![tensor("IN", &[1.0, 2.0])]).await.is_ok());
}

#[tokio::test]
async fn responses_say_to_which_sequence_they_belong_even_where_there_is_none() {
    let world = World::new(FakeBehaviour::default());
    world.load(echo("a", 2)).unwrap();
    let model = world.load(ensemble("e", vec![step("a", "IN", "OUT")])).unwrap();
    let without = InferRequest::new(vec![tensor("IN", &[1.0, 2.0])]);
    let id = SequenceId::Text("s".into());
    let with = InferRequest { sequence: Some(SequenceFlags { id, start: true, end: false }), ..without.clone() };
    for (request, id, start) in
        [(without, ParameterValue::Int(0), false), (with, ParameterValue::String("s".into()), true)]
    {
        let parameters = model.clone().infer(request).single().await.unwrap().parameters;
        let found: Vec<_> = parameters.iter().map(|(name, value)| (name, value.clone())).collect();
        let (start, end) = (ParameterValue::Bool(start), ParameterValue::Bool(false));
        assert_eq!(found, [("sequence_id", id), ("sequence_start", start), ("sequence_end", end)]);
    }
}

#[tokio::test]
async fn an_output_without_labels_has_those_of_the_member_that_makes_it() {
    let folder = std::env::temp_dir().join(format!("nereid-ensemble-labels-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("inner.txt"), "cat\ndog\n").unwrap();
    std::fs::write(folder.join("outer.txt"), "Katze\n").unwrap();
    let world = World::new(FakeBehaviour::default());
    let mut member = echo("a", 2);
    member.outputs[0].label_filename = "inner.txt".into();
    world.load_source(ModelSource { model_directory: folder.clone(), ..source(member) }).unwrap();
    let inheriting = world.load(ensemble("e", vec![step("a", "IN", "OUT")])).unwrap();
    let mut config = ensemble("own", vec![step("a", "IN", "OUT")]);
    config.outputs[0].label_filename = "outer.txt".into();
    let own = world.load_source(ModelSource { model_directory: folder.clone(), ..source(config) }).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let labels =
        |model: &dyn ServedModel| model.labels("OUT").iter().map(|label| label.to_string()).collect::<Vec<_>>();
    assert_eq!(labels(&*inheriting), ["cat", "dog"]);
    assert_eq!(labels(&*own), ["Katze"]);
}

/// Loads an ensemble `e` of these steps over members `a` (two columns) and `wide` (three), and expects this refusal.
#[track_caller]
fn check_refused(world: &World, steps: Vec<EnsembleStep>, expected: &str) {
    let error = world.load(ensemble("e", steps)).err().map(|error| error.message().to_owned());
    assert!(error.as_deref().is_some_and(|text| text.contains(expected)), "expected {expected:?}, got {error:?}");
}

#[tokio::test]
async fn every_mistake_in_the_graph_names_both_sides() {
    let world = World::new(FakeBehaviour::default());
    world.load(echo("a", 2)).unwrap();
    world.load(echo("wide", 3)).unwrap();
    let ints = world.load({
        let mut config = echo("ints", 2);
        config.inputs[0].data_type = DataType::Int32.into();
        config
    });
    ints.unwrap();
    world
        .load({
            let mut small = echo("small", 2);
            small.max_batch_size = 4;
            small
        })
        .unwrap();

    check_refused(&world, vec![], "must specify 'step' for ensemble 'e'");
    check_refused(
        &world,
        vec![step("nobody", "IN", "OUT")],
        "step 0: Request for unknown model: 'nobody' is not found",
    );
    check_refused(
        &world,
        vec![step("a", "TYPO", "OUT")],
        "step 0 (model 'a') takes tensor 'TYPO', which no step makes",
    );
    check_refused(
        &world,
        vec![step("ints", "IN", "OUT")],
        "tensor 'IN' has inconsistent data type: TYPE_FP32 from the ensemble's input and TYPE_INT32 from step 0 (model 'ints')",
    );
    check_refused(
        &world,
        vec![step("wide", "IN", "OUT")],
        "tensor 'IN' has inconsistent shape: [-1, 2] from the ensemble's input and [-1, 3] from step 0 (model 'wide')",
    );
    check_refused(&world, vec![step("a", "IN", "OUT"), step("a", "IN", "OUT")], "tensor 'OUT' is made twice");
    check_refused(
        &world,
        vec![step("a", "two", "one"), step("a", "one", "two"), step("a", "IN", "OUT")],
        "wait for each other's outputs: the graph has a cycle",
    );
    check_refused(
        &world,
        vec![step("small", "IN", "OUT")],
        "allows maximum batch size 8, but it contains model 'small' which only allows maximum batch size to be 4",
    );
    let mut wrong_name = step("a", "IN", "OUT");
    wrong_name.input_map = [("NOPE".to_owned(), "IN".to_owned())].into();
    check_refused(&world, vec![wrong_name], "step 0 (model 'a') has no input 'NOPE'; its inputs are 'X'");
}

#[tokio::test]
async fn an_input_that_no_step_takes_is_named() {
    let world = World::new(FakeBehaviour::default());
    world.load(echo("a", 2)).unwrap();
    let mut config = ensemble("e", vec![step("a", "IN", "OUT")]);
    config.inputs.push(crate::test_service::input("SPARE", DataType::Fp32, 2));
    let error = world.load(config).err().unwrap();
    assert_eq!(error.message(), "in ensemble 'e', no step takes the input 'SPARE'");
}

#[tokio::test]
async fn a_graph_is_validated_against_configurations_alone() {
    let world = World::new(FakeBehaviour::default());
    let peers = |name: &str| (name == "wide").then(|| echo("wide", 3));
    let validate = |step| {
        let error = world.loader.validate(&source(ensemble("e", vec![step])), &peers).err();
        error.map(|error| error.message().to_owned())
    };
    let wide = validate(step("wide", "IN", "OUT"));
    assert!(wide.is_some_and(|text| text.contains("tensor 'IN' has inconsistent shape: [-1, 2]")));
    let nobody = validate(step("nobody", "IN", "OUT"));
    assert!(nobody.is_some_and(|text| text.contains("unknown model: 'nobody'")));
    assert_eq!(world.loader.validate(&source(echo("m", 2)), &peers).err().map(|error| error.to_string()), None);
}

fn decoupled(name: &str) -> ModelConfig {
    ModelConfig { transaction_policy: Some(TransactionPolicy { decoupled: true }), ..echo(name, 2) }
}

#[tokio::test]
async fn an_ensemble_is_decoupled_when_a_member_is() {
    let world = World::new(FakeBehaviour { streams: Some(3), ..FakeBehaviour::default() });
    world.load(decoupled("a")).unwrap();
    world.load(ensemble("inner", vec![step("a", "IN", "OUT")])).unwrap();
    let mut nested = step("inner", "IN", "OUT");
    nested.input_map = [("IN".to_owned(), "IN".to_owned())].into();
    nested.output_map = [("OUT".to_owned(), "OUT".to_owned())].into();
    let model = world.load(ensemble("e", vec![nested])).unwrap();
    assert!(model.config().is_decoupled());
    let mut stream = model.infer(InferRequest::new(vec![tensor("IN", &[1.0, 2.0])]));
    for _ in 0..3 {
        let delivery = stream.next().await.unwrap();
        assert!(!delivery.last && delivery.response.unwrap().unwrap().output("OUT").is_some());
    }
    let end = stream.next().await.unwrap();
    assert!(end.last && end.response.is_none());
    let counts: Vec<_> = model.statistics().responses.iter().map(|row| row.success.count).collect();
    assert_eq!(counts, [1, 1, 1, 0]);
}

#[tokio::test]
async fn every_response_of_a_decoupled_model_has_the_clients_form() {
    let world = World::new(FakeBehaviour { streams: Some(3), ..FakeBehaviour::default() });
    // `a` sees [1,2], its clients [2], and those of the ensemble [2,1].
    let mut member = decoupled("a");
    member.inputs[0].reshape = Some(Reshape { shape: vec![1, 2] });
    member.outputs[0].reshape = Some(Reshape { shape: vec![1, 2] });
    let member = world.load(member).unwrap();
    let mut config = ensemble("e", vec![step("a", "IN", "OUT")]);
    let (dims, reshape) = (vec![2, 1], Some(Reshape { shape: vec![2] }));
    config.inputs[0] = ModelInput { dims: dims.clone(), reshape: reshape.clone(), ..config.inputs[0].clone() };
    config.outputs[0] = ModelOutput { dims, reshape, ..config.outputs[0].clone() };
    let around = world.load(config).unwrap();
    for (model, sent, output, shape) in [(member, "X", "Y", &[1, 2][..]), (around, "IN", "OUT", &[1, 2, 1])] {
        let tensor = Tensor::from_elements(Shape::new(shape), &[1.0_f32, 2.0]).unwrap();
        let mut stream = model.infer(InferRequest::new(vec![NamedTensor::new(sent, tensor)]));
        for _ in 0..3 {
            let response = stream.next().await.unwrap().response.unwrap().unwrap();
            let found = response.output(output).unwrap();
            assert_eq!((&**found.shape(), &*found.elements::<f32>().unwrap()), (shape, &[1.0, 2.0][..]));
        }
        assert!(stream.next().await.is_some_and(|end| end.last && end.response.is_none()));
        assert_eq!(model.statistics().inference.success.count, 1);
    }
}

#[tokio::test]
async fn an_ensemble_is_not_decoupled_by_its_own_word() {
    let world = World::new(FakeBehaviour::default());
    world.load(echo("a", 2)).unwrap();
    let transaction_policy = Some(TransactionPolicy { decoupled: true });
    let config = ModelConfig { transaction_policy, ..ensemble("e", vec![step("a", "IN", "OUT")]) };
    assert!(!world.load(config).unwrap().config().is_decoupled());
}

#[tokio::test]
async fn answers_are_not_kept_where_a_member_remembers_sequences() {
    let world = World::new(FakeBehaviour::default());
    let sequences = Some(Scheduling::Sequence(SequenceBatching::default()));
    let peers = |name: &str| match name {
        "a" => Some(ModelConfig { scheduling: sequences.clone(), ..echo("a", 2) }),
        "inner" => Some(ensemble("inner", vec![step("a", "IN", "OUT")])),
        _ => None,
    };
    let inner = EnsembleStep {
        model_name: "inner".into(),
        input_map: [("IN".to_owned(), "IN".to_owned())].into(),
        output_map: [("OUT".to_owned(), "OUT".to_owned())].into(),
        ..EnsembleStep::default()
    };
    for steps in [vec![step("a", "IN", "OUT")], vec![inner]] {
        let plain = ensemble("e", steps);
        let cached = ModelConfig { response_cache: Some(ResponseCache { enable: true }), ..plain.clone() };
        assert!(world.loader.validate(&source(plain), &peers).is_ok());
        let error = world.loader.validate(&source(cached), &peers).unwrap_err();
        let start = "Response Cache does not currently support model e with sequence batching scheduler, ";
        assert!(error.message().starts_with(start), "{error}");
    }
}

#[tokio::test]
async fn answers_are_not_kept_where_a_member_is_decoupled() {
    let world = World::new(FakeBehaviour::default());
    let peers = |name: &str| (name == "a").then(|| decoupled("a"));
    let plain = ensemble("e", vec![step("a", "IN", "OUT")]);
    let cached = ModelConfig { response_cache: Some(ResponseCache { enable: true }), ..plain.clone() };
    assert!(world.loader.validate(&source(plain), &peers).is_ok());
    let error = world.loader.validate(&source(cached), &peers).unwrap_err();
    let start = "Response Cache does not currently support model e with 'decoupled' transaction policy, ";
    assert!(error.message().starts_with(start), "{error}");
}

#[tokio::test]
async fn inputs_of_different_decoupled_models_are_refused() {
    let world = World::new(FakeBehaviour::default());
    let peers = |name: &str| {
        let mut pair = echo("pair", 2);
        pair.inputs.push(crate::test_service::input("X2", DataType::Fp32, 2));
        let mut inner = step("a", "X", "Y");
        inner.model_version = -1;
        let inner = ensemble("inner", vec![inner]);
        let inner = ModelConfig { inputs: echo("a", 2).inputs, outputs: echo("a", 2).outputs, ..inner };
        match name {
            "a" => Some(decoupled("a")),
            "inner" => Some(inner),
            "pair" => Some(pair),
            _ => None,
        }
    };
    let mut join = step("pair", "first", "OUT");
    join.input_map.insert("X2".to_owned(), "second".to_owned());
    let check = |steps: Vec<EnsembleStep>| {
        let error = world.loader.validate(&source(ensemble("e", steps)), &peers).err().unwrap();
        let text = "in ensemble e, step of model 'pair' receives inputs originated from different decoupled models";
        assert_eq!(error.message(), text);
    };
    check(vec![join.clone(), step("a", "IN", "first"), step("a", "first", "second")]);
    check(vec![join.clone(), step("a", "IN", "first"), step("inner", "IN", "second")]);
    let mut with_input = step("pair", "first", "OUT");
    with_input.input_map.insert("X2".to_owned(), "IN".to_owned());
    check(vec![step("a", "IN", "first"), with_input]);
    let mut same = step("pair", "first", "OUT");
    same.input_map.insert("X2".to_owned(), "first".to_owned());
    let graph = source(ensemble("e", vec![step("a", "IN", "second"), step("inner", "second", "first"), same]));
    assert_eq!(world.loader.validate(&graph, &peers).err().map(|error| error.to_string()), None);
}
