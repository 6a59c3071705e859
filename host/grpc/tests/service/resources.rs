//! Health, metadata, configuration, statistics, the repository, and what is not offered.

use std::collections::BTreeMap;

use nereid_inference::ServerState;
use nereid_protocol::grpc::proto::*;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::fixture::{Fixture, assert_status, within};

#[tokio::test]
async fn health_follows_the_servers_state() {
    let mut fixture = Fixture::start().await;
    let mut health = HealthClient::new(fixture.channel.clone());
    let cases = [
        (ServerState::Starting, Some((true, false)), ServingStatus::NotServing),
        (ServerState::Ready, Some((true, true)), ServingStatus::Serving),
        (ServerState::NotReady, Some((true, false)), ServingStatus::NotServing),
        (ServerState::Exiting, None, ServingStatus::NotServing),
    ];
    for (state, live_and_ready, serving) in cases {
        *fixture.service.state.lock() = state;
        let check = HealthCheckRequest { service: "anything".into() };
        let answer = within(health.check(check)).await.unwrap().into_inner();
        assert_eq!(answer.status(), serving, "{state:?}");
        let live = within(fixture.client.server_live(ServerLiveRequest {})).await;
        let ready = within(fixture.client.server_ready(ServerReadyRequest {})).await;
        match live_and_ready {
            Some(expected) => {
                let found = (live.unwrap().into_inner().live, ready.unwrap().into_inner().ready);
                assert_eq!(found, expected, "{state:?}");
            }
            None => {
                assert_status(live, Code::Unavailable, "Server exiting");
                assert_status(ready, Code::Unavailable, "Server exiting");
            }
        }
    }
}

#[tokio::test]
async fn watching_health_is_refused_by_name() {
    let fixture = Fixture::start().await;
    let mut health = HealthClient::new(fixture.channel.clone());
    let status = within(health.watch(HealthCheckRequest::default())).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("Health/Watch"), "{status}");
}

#[tokio::test]
async fn a_model_that_does_not_exist_is_not_ready_which_is_no_error() {
    let mut fixture = Fixture::start().await;
    for (name, version, expected) in [("echo", "", true), ("echo", "3", true), ("echo", "4", false), ("no", "", false)]
    {
        let request = ModelReadyRequest { name: name.into(), version: version.into() };
        let answer = within(fixture.client.model_ready(request)).await.unwrap().into_inner();
        assert_eq!(answer.ready, expected, "{name} {version}");
    }
    let request = ModelReadyRequest { name: "echo".into(), version: "x".into() };
    assert_eq!(within(fixture.client.model_ready(request)).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn metadata_describes_the_server_and_its_models() {
    let mut fixture = Fixture::start().await;
    let server = within(fixture.client.server_metadata(ServerMetadataRequest {})).await.unwrap().into_inner();
    assert_eq!((server.name.as_str(), server.version.as_str()), ("nereid", "1.2.3"));
    assert!(server.extensions.contains(&"binary_tensor_data".to_owned()));

    let request = ModelMetadataRequest { name: "echo".into(), version: String::new() };
    let model = within(fixture.client.model_metadata(request)).await.unwrap().into_inner();
    assert_eq!((model.name.as_str(), model.platform.as_str(), &*model.versions), ("echo", "fake", &["3".into()][..]));
    let input = &model.inputs[0];
    assert_eq!((input.name.as_str(), input.datatype.as_str(), &*input.shape), ("IN", "INT32", &[-1, -1][..]));
    assert_eq!(model.outputs[0].name, "OUT");

    let request = ModelMetadataRequest { name: "nobody".into(), version: String::new() };
    let refused = within(fixture.client.model_metadata(request)).await;
    assert_status(refused, Code::NotFound, "Request for unknown model: 'nobody' is not found");
}

#[tokio::test]
async fn the_configuration_is_the_effective_one() {
    let mut fixture = Fixture::start().await;
    let request = ModelConfigRequest { name: "decoupled".into(), version: String::new() };
    let config = within(fixture.client.model_config(request)).await.unwrap().into_inner().config.unwrap();
    assert_eq!((config.name.as_str(), config.backend.as_str(), config.max_batch_size), ("decoupled", "fake", 8));
    assert!(config.model_transaction_policy.unwrap().decoupled);
}

#[tokio::test]
async fn statistics_are_those_of_the_models_asked_for() {
    let mut fixture = Fixture::start().await;
    let request = |name: &str, version: &str| ModelStatisticsRequest { name: name.into(), version: version.into() };
    let all = within(fixture.client.model_statistics(request("", ""))).await.unwrap().into_inner().model_stats;
    assert_eq!(all.len(), 6);
    let one = within(fixture.client.model_statistics(request("echo", "3"))).await.unwrap().into_inner().model_stats;
    assert_eq!((one.len(), one[0].inference_count, one[0].last_inference), (1, 4, 5));
    let refused = within(fixture.client.model_statistics(request("nobody", ""))).await;
    assert_status(refused, Code::InvalidArgument, "requested model 'nobody' is not available");
    let refused = within(fixture.client.model_statistics(request("echo", "9"))).await;
    assert_status(refused, Code::InvalidArgument, "requested model version is not available for model 'echo'");
}

#[tokio::test]
async fn the_repository_is_shown_and_controlled() {
    let mut fixture = Fixture::start().await;
    let index = |ready| RepositoryIndexRequest { ready, ..Default::default() };
    let all = within(fixture.client.repository_index(index(false))).await.unwrap().into_inner().models;
    assert_eq!((all.len(), all[1].state.as_str(), all[1].reason.as_str()), (2, "UNAVAILABLE", "unloaded"));
    let ready = within(fixture.client.repository_index(index(true))).await.unwrap().into_inner().models;
    assert_eq!((ready.len(), ready[0].name.as_str()), (1, "echo"));

    let load = |name: &str| RepositoryModelLoadRequest { model_name: name.into(), ..Default::default() };
    within(fixture.client.repository_model_load(load("a"))).await.unwrap();
    let refused = within(fixture.client.repository_model_load(load("broken"))).await;
    assert_status(refused, Code::InvalidArgument, "load failed for model 'broken'");
    let refused = within(fixture.client.repository_model_load(load("panics"))).await;
    assert_eq!(refused.unwrap_err().code(), Code::Internal);

    let choice = model_repository_parameter::ParameterChoice::BoolParam(true);
    let dependents = ModelRepositoryParameter { parameter_choice: Some(choice) };
    let parameters = BTreeMap::from([("unload_dependents".to_owned(), dependents)]);
    let unload = RepositoryModelUnloadRequest { model_name: "a".into(), parameters, ..Default::default() };
    within(fixture.client.repository_model_unload(unload)).await.unwrap();
    assert_eq!(*fixture.control.calls.lock(), ["load a", "unload a, dependents: true"]);
}

#[tokio::test]
async fn traces_and_the_log_are_shown_and_changed() {
    let mut fixture = Fixture::start().await;
    let client = &mut fixture.client;
    let value =
        |texts: &[&str]| trace_setting_request::SettingValue { value: texts.iter().map(|t| t.to_string()).collect() };
    let settings = [("trace_rate".to_owned(), value(&["5"])), ("trace_count".to_owned(), value(&[]))];
    let change = TraceSettingRequest { settings: settings.into(), model_name: "echo".into() };
    let shown = within(client.trace_setting(change)).await.unwrap().into_inner().settings;
    let of = |key: &str| shown.get(key).map(|setting| setting.value.join(",")).unwrap_or_default();
    assert_eq!((of("trace_rate"), of("trace_count"), of("trace_level")), ("5".into(), "-1".into(), "OFF".into()));
    let shown = within(client.trace_setting(TraceSettingRequest::default())).await.unwrap().into_inner().settings;
    assert_eq!(shown.get("trace_rate").unwrap().value, ["1000"]);
    let unknown = TraceSettingRequest { model_name: "nobody".into(), ..Default::default() };
    let refused = within(client.trace_setting(unknown)).await;
    assert_status(refused, Code::InvalidArgument, "Request for unknown model : nobody");

    let choice = log_settings_request::setting_value::ParameterChoice::BoolParam(false);
    let setting = log_settings_request::SettingValue { parameter_choice: Some(choice) };
    let change = LogSettingsRequest { settings: [("log_info".to_owned(), setting)].into() };
    let shown = within(client.log_settings(change)).await.unwrap().into_inner().settings;
    assert_eq!(shown.len(), 6);
    let shown = format!("{:?}", shown.get("log_info").unwrap());
    assert!(shown.contains("BoolParam(false)"), "{shown}");
}
