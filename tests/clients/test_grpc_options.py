"""What operators switch on for gRPC, as a client finds it that knows nothing of this server's protocol beforehand."""

import time

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "inference.GRPCInferenceService"

# Connections live for 100 ms here; only a server that never ends them takes so long.
SECONDS_MAX = 30


@pytest.fixture
def channel_to(start_server, repository):
    """Opens a channel to a server of its own, started with the flags."""
    channels = []

    def connect(*flags: str) -> grpc.Channel:
        channels.append(grpc.insecure_channel(start_server(repository, *flags).grpc_url))
        return channels[-1]

    yield connect
    for channel in channels:
        channel.close()


def call(channel: grpc.Channel, pool: descriptor_pool.DescriptorPool, method: str, **fields):
    """As grpcurl does: the method's messages are made from what the server says of them."""
    described = pool.FindServiceByName(SERVICE).methods_by_name[method]
    request, response = (message_factory.GetMessageClass(kind) for kind in (described.input_type, described.output_type))
    stub = channel.unary_unary(
        f"/{SERVICE}/{method}", request_serializer=request.SerializeToString, response_deserializer=response.FromString
    )
    return stub(request(**fields), timeout=30)


def test_a_client_without_the_protocols_files_finds_and_calls_it_by_reflection(channel_to):
    channel = channel_to("--grpc-reflection=true")
    database = ProtoReflectionDescriptorDatabase(channel)
    assert {SERVICE, "grpc.health.v1.Health"} <= set(database.get_services())
    pool = descriptor_pool.DescriptorPool(database)
    assert call(channel, pool, "ServerMetadata").name == "triton"
    metadata = call(channel, pool, "ModelMetadata", name="identity_fp32")
    assert [(tensor.name, tensor.datatype) for tensor in metadata.inputs] == [("INPUT0", "FP32")]


def test_reflection_is_off_until_it_is_asked_for(channel_to):
    with pytest.raises(grpc.RpcError) as refused:
        ProtoReflectionDescriptorDatabase(channel_to()).get_services()
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_connection_past_its_age_is_replaced_without_a_failed_request(channel_to):
    channel = channel_to("--grpc-max-connection-age=100", "--grpc-max-connection-age-grace=5000", "--grpc-reflection")
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    states = []
    channel.subscribe(states.append, try_to_connect=True)
    end = time.monotonic() + SECONDS_MAX
    while states.count(grpc.ChannelConnectivity.READY) < 3:
        assert time.monotonic() < end, f"not connected anew in {SECONDS_MAX} s: {states}"
        assert call(channel, pool, "ServerLive").live


def test_compressed_responses_arrive_whole(channel_to):
    channel = channel_to("--grpc-infer-response-compression-level=high", "--grpc-reflection")
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    tensor = bytes(4 * 100_000)
    inputs = [{"name": "INPUT0", "datatype": "FP32", "shape": [100_000]}]
    answer = call(channel, pool, "ModelInfer", model_name="identity_fp32", inputs=inputs, raw_input_contents=[tensor])
    assert answer.raw_output_contents[0] == tensor
