//! No RPC escapes the access check: proved over the compiled descriptors of everything that is served.

use std::path::Path;

use http::uri::PathAndQuery;
use nereid_access::{Category, Policy, Restrictions, Surface};
use protox::prost_reflect::DescriptorPool;
use tonic::{Code, Request, Status, client::Grpc};

use crate::{
    fixture::{Fixture, within},
    hostile::RawCodec,
};

const METADATA: &str = "triton-grpc-protocol-key";
const RESTRICTED: &str = "This protocol is restricted, expecting header 'triton-grpc-protocol-key'";

/// Every RPC of Triton's service, of the standard health service and of reflection, as their descriptors have them.
fn served_rpcs() -> Vec<String> {
    let protocol = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/proto");
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/proto");
    let inference = protox::compile(["grpc_service.proto"], [protocol, config]).unwrap();
    let mut pool = DescriptorPool::from_file_descriptor_set(inference).unwrap();
    pool.decode_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET).unwrap();
    pool.decode_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET).unwrap();
    pool.decode_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET).unwrap();
    let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    methods.map(|method| format!("/{}/{}", method.parent_service().full_name(), method.name())).collect()
}

/// What Triton's documentation of restricted protocols says of an RPC, by its name alone.
fn expected_category(path: &str) -> Category {
    match path.rsplit('/').next().unwrap() {
        "Check" | "Watch" | "ServerLive" | "ServerReady" | "ModelReady" => Category::Health,
        "ServerMetadata" | "ModelMetadata" | "ServerReflectionInfo" => Category::Metadata,
        "ModelInfer" | "ModelStreamInfer" => Category::Inference,
        "ModelConfig" => Category::ModelConfig,
        "ModelStatistics" => Category::Statistics,
        "TraceSetting" => Category::Trace,
        "LogSettings" => Category::Logging,
        name if name.contains("SharedMemory") => Category::SharedMemory,
        name if name.starts_with("Repository") => Category::ModelRepository,
        name => panic!("{name} is new: give it a category"),
    }
}

/// A server where each of these categories wants its own secret: the key's value is the category's name.
async fn restricted(categories: &[Category]) -> Fixture {
    let of_grpc = categories.iter().filter(|category| **category != Category::Metrics);
    let groups: Vec<_> = of_grpc.map(|category| format!("{0}:key={0}", category.name())).collect();
    let policy = Policy::new(Restrictions::parse(Surface::Grpc, &groups).unwrap(), None);
    Fixture::start_with(|settings| {
        settings.policy = policy;
        settings.reflection = true;
    })
    .await
}

/// Calls any RPC with an empty message and one piece of metadata.
async fn call(fixture: &Fixture, path: &str, metadata: Option<(&'static str, &str)>) -> Result<(), Status> {
    let mut client = Grpc::new(fixture.channel.clone());
    client.ready().await.unwrap();
    let mut request = Request::new(tokio_stream::once(bytes::Bytes::new()));
    if let Some((key, value)) = metadata {
        request.metadata_mut().insert(key, value.parse().unwrap());
    }
    let path = PathAndQuery::try_from(path).unwrap();
    let response = within(client.streaming(request, path, RawCodec::<()>::default())).await?;
    within(response.into_inner().message()).await.map(drop)
}

fn is_restricted(answer: &Result<(), Status>) -> bool {
    matches!(answer, Err(status) if (status.code(), status.message()) == (Code::Unavailable, RESTRICTED))
}

#[tokio::test]
async fn with_everything_restricted_no_rpc_answers_without_its_secret() {
    let fixture = restricted(&Category::ALL).await;
    let rpcs = served_rpcs();
    assert!(rpcs.len() >= 24, "{rpcs:?}");
    for path in rpcs {
        for metadata in [None, Some((METADATA, "wrong")), Some(("key", "inference"))] {
            let answer = call(&fixture, &path, metadata).await;
            assert!(is_restricted(&answer), "{path}: {answer:?}");
        }
        let secret = expected_category(&path).name();
        let answer = call(&fixture, &path, Some((METADATA, secret))).await;
        assert!(!is_restricted(&answer), "{path} wants another secret than that of {secret}");
    }
}

#[tokio::test]
async fn a_restricted_category_refuses_exactly_its_own_rpcs() {
    for category in Category::ALL {
        let fixture = restricted(&[category]).await;
        for path in served_rpcs() {
            let answer = call(&fixture, &path, None).await;
            assert_eq!(is_restricted(&answer), expected_category(&path) == category, "{path}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn an_rpc_that_does_not_exist_belongs_to_no_category() {
    let fixture = restricted(&Category::ALL).await;
    for path in ["/inference.GRPCInferenceService/Nothing", "/other.Service/ModelInfer"] {
        let status = call(&fixture, path, None).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{path}: {status:?}");
    }
}
