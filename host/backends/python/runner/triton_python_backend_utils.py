"""What Triton's Python models import: the same names, with the same meaning, in a process that Nereid runs."""

from nereid_runner import loop as _loop
from nereid_runner.errors import TritonError, TritonModelException
from nereid_runner.host import (
    Logger,
    MetricFamily,
    MetricKind,
    is_model_ready,
    load_model,
    unload_model,
)
from nereid_runner.model_config import ModelConfig
from nereid_runner.requests import (
    MEMORY_CPU as TRITONSERVER_MEMORY_CPU,
    MEMORY_GPU as TRITONSERVER_MEMORY_GPU,
    RELEASE_ALL as TRITONSERVER_REQUEST_RELEASE_ALL,
    RELEASE_RESCHEDULE as TRITONSERVER_REQUEST_RELEASE_RESCHEDULE,
    InferenceRequest,
    InferenceTrace,
    PreferredMemory,
)
from nereid_runner.responses import (
    COMPLETE_FINAL as TRITONSERVER_RESPONSE_COMPLETE_FINAL,
    InferenceResponse,
    InferenceResponseSender,
)
from nereid_runner.tensors import (
    NAMES_BY_NUMBER as _NAMES_BY_NUMBER,
    NUMPY_TYPES as _NUMPY_TYPES,
    TYPE_NUMBERS as _TYPE_NUMBERS,
    Tensor,
    decode_strings as deserialize_bytes_tensor,
    encode_strings as serialize_byte_tensor,
    wire_type as _wire_type,
)

TRITONSERVER_REQUEST_FLAG_SEQUENCE_START = 1
TRITONSERVER_REQUEST_FLAG_SEQUENCE_END = 2

TRITON_STRING_TO_NUMPY = {f"TYPE_{name}": numpy_type for name, numpy_type in _NUMPY_TYPES.items()}
TRITON_STRING_TO_NUMPY["TYPE_STRING"] = TRITON_STRING_TO_NUMPY.pop("TYPE_BYTES")
TRITON_STRING_TO_NUMPY["TYPE_BOOL"] = bool


def get_model_dir() -> str:
    """The folder of the model's file: its version's directory."""
    return _loop.MODEL_DIRECTORY


def _by_name(things, name: str, name_of):
    return next((thing for thing in things if name_of(thing) == name), None)


def get_input_tensor_by_name(inference_request: InferenceRequest, name: str) -> Tensor | None:
    """The input of that name; None when the request has none."""
    for tensor in inference_request.inputs():
        if tensor.name() == name:
            return tensor
    return None


def get_output_tensor_by_name(inference_response: InferenceResponse, name: str) -> Tensor | None:
    """The output of that name; None when the response has none."""
    return _by_name(inference_response.output_tensors(), name, Tensor.name)


def get_input_config_by_name(model_config: dict, name: str) -> dict | None:
    """What the configuration says of the input of that name."""
    return _by_name(model_config.get("input", ()), name, lambda tensor: tensor["name"])


def get_output_config_by_name(model_config: dict, name: str) -> dict | None:
    """What the configuration says of the output of that name."""
    return _by_name(model_config.get("output", ()), name, lambda tensor: tensor["name"])


def using_decoupled_model_transaction_policy(model_config: dict) -> bool:
    """Whether a request may get any number of responses."""
    return bool(model_config.get("model_transaction_policy", {}).get("decoupled", False))


def triton_string_to_numpy(triton_type_string: str):
    """`TYPE_FP32` to numpy.float32."""
    return TRITON_STRING_TO_NUMPY[triton_type_string]


def triton_to_numpy_type(data_type: int):
    """The number of a TRITONSERVER_DataType to numpy's type."""
    return _NUMPY_TYPES.get(_NAMES_BY_NUMBER.get(data_type))


def numpy_to_triton_type(data_type) -> int | None:
    """The opposite."""
    return _TYPE_NUMBERS.get(_wire_type(data_type))
