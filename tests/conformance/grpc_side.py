"""Asks over gRPC, with the messages of Triton's own .proto file and no client library in between."""

import grpc
import tensors
from cases import BadCase
from google.protobuf import json_format
from matching import CODES, Mismatch, expect_contains, expect_equal
from tritonclient.grpc import service_pb2

SECONDS_MAX = 30
SERVICE = "/inference.GRPCInferenceService/"
# What only HTTP says.
HTTP_PARAMETERS = {"binary_data_output", "binary_data"}
STREAM = "ModelStreamInfer"


def run(server, ask: dict, expect: dict):
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.grpc_url, options) as channel:
        if ask.get("grpc") == STREAM:
            check_stream(channel, ask, expect)
        else:
            check_call(channel, ask, expect)


def check_call(channel, ask: dict, expect: dict):
    rpc = ask.get("grpc", "ModelInfer")
    request = message(ask, rpc)
    call = channel.unary_unary(
        SERVICE + rpc,
        request_serializer=type(request).SerializeToString,
        response_deserializer=message_type(f"{rpc}Response").FromString,
    )
    try:
        response = call(request, timeout=SECONDS_MAX, metadata=metadata(ask))
    except grpc.RpcError as error:
        check_error(error.code().name, error.details(), expect)
        return
    if "error" in expect:
        raise Mismatch(f"expected the error {expect['error']!r}, found {as_document(response)}")
    check_response(response, expect)


def check_stream(channel, ask: dict, expect: dict):
    call = channel.stream_stream(
        SERVICE + STREAM,
        request_serializer=service_pb2.ModelInferRequest.SerializeToString,
        response_deserializer=service_pb2.ModelStreamInferResponse.FromString,
    )
    requests = [infer_message(row.pop("model"), row.pop("version", ""), row) for row in map(dict, ask["messages"])]
    found = []
    try:
        for response in call(iter(requests), timeout=SECONDS_MAX, metadata=metadata(ask)):
            row = inference(response.infer_response)
            found.append(({"error": response.error_message} if response.error_message else {}) | row)
    except grpc.RpcError as error:
        check_error(error.code().name, error.details(), expect)
    else:
        if "error" in expect:
            raise Mismatch(f"expected the stream to end with {expect['error']!r}, found {found}")
    if "responses" in expect:
        expect_contains("the responses", found, expect["responses"])


def check_error(code: str, text: str, expect: dict):
    if "error" not in expect:
        raise Mismatch(f"expected no error, found {code}: {text}")
    if "code" not in expect:
        raise BadCase("an 'error' over gRPC needs the 'code' that Triton gives it")
    wanted = CODES[expect["code"]][1]
    if code != wanted:
        raise Mismatch(f"expected code {wanted}, found {code}: {text}")
    expect_equal("the error", text, expect["error"])


def check_response(response, expect: dict):
    document = as_document(response)
    if "answer" in expect:
        expect_equal("the answer", document, expect["answer"])
    if "answer_has" in expect:
        expect_contains("the answer", document, expect["answer_has"])
    if {"outputs", "id", "parameters"} & set(expect):
        found = inference(response)
        for key in ("id", "parameters", "outputs"):
            if key in expect:
                expect_equal(f"the {key}", found.get(key), expect[key])


def metadata(ask: dict) -> list[tuple[str, str]]:
    return list(ask.get("metadata", {}).items())


def message_type(name: str):
    return getattr(service_pb2, name)


def message(ask: dict, rpc: str):
    if "infer" in ask:
        return infer_message(ask["model"], ask.get("version", ""), ask["infer"])
    return json_format.ParseDict(ask.get("message", {}), message_type(f"{rpc}Request")())


def infer_message(model: str, version: str, body: dict):
    """What the JSON of an HTTP request says, as a message; tensors go as raw contents."""
    request = service_pb2.ModelInferRequest(model_name=model, model_version=version, id=body.get("id", ""))
    set_parameters(request.parameters, body.get("parameters", {}))
    for row in body.get("inputs", []):
        tensor = request.inputs.add(name=row["name"], datatype=row["datatype"], shape=row["shape"])
        set_parameters(tensor.parameters, row.get("parameters", {}))
        if "data" in row:
            request.raw_input_contents.append(tensors.encode(row["datatype"], row["data"]))
    for row in body.get("outputs", []):
        set_parameters(request.outputs.add(name=row["name"]).parameters, row.get("parameters", {}))
    return request


def set_parameters(target, parameters: dict):
    choices = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}
    for key, value in parameters.items():
        if key not in HTTP_PARAMETERS:
            setattr(target[key], choices[type(value)], value)


def inference(response) -> dict:
    """A response in the form of the JSON that HTTP would answer."""
    rows = []
    for index, output in enumerate(response.outputs):
        row = {"name": output.name, "datatype": output.datatype, "shape": list(output.shape)}
        content = response.raw_output_contents[index]
        # An output in shared memory has an empty entry, so that the indices agree.
        if content or 0 in output.shape:
            row["data"] = tensors.decode(output.datatype, content)
        rows.append(row)
    parameters = {key: getattr(value, value.WhichOneof("parameter_choice")) for key, value in response.parameters.items()}
    found = {"model_name": response.model_name, "model_version": response.model_version}
    return found | {"id": response.id, "parameters": parameters, "outputs": rows}


def as_document(message_or_value):
    """A message as JSON would write it: names of the .proto file, every integer a number, what is not set left out."""
    if not hasattr(message_or_value, "ListFields"):
        return message_or_value.hex() if isinstance(message_or_value, bytes) else message_or_value
    document = {}
    for field, value in message_or_value.ListFields():
        if field.message_type and field.message_type.GetOptions().map_entry:
            document[field.name] = {str(key): as_document(value[key]) for key in value}
        elif field.type == field.TYPE_ENUM:
            document[field.name] = field.enum_type.values_by_number[value].name
        elif hasattr(value, "append") or hasattr(value, "add"):
            document[field.name] = [as_document(row) for row in value]
        else:
            document[field.name] = as_document(value)
    return document
