"""Writes the model repository of the suite: identity models of every data type, and what else the tests name."""

import json
import pathlib
import shutil

from server import ROOT

# The protocol's names of the data types, and config.pbtxt's.
DATA_TYPES = {
    "BOOL": "TYPE_BOOL",
    "UINT8": "TYPE_UINT8",
    "UINT16": "TYPE_UINT16",
    "UINT32": "TYPE_UINT32",
    "UINT64": "TYPE_UINT64",
    "INT8": "TYPE_INT8",
    "INT16": "TYPE_INT16",
    "INT32": "TYPE_INT32",
    "INT64": "TYPE_INT64",
    "FP16": "TYPE_FP16",
    "BF16": "TYPE_BF16",
    "FP32": "TYPE_FP32",
    "FP64": "TYPE_FP64",
    "BYTES": "TYPE_STRING",
}

SLOW_MODEL_MILLISECONDS = 1500


def tensors(kind: str, *named: tuple[str, str, str]) -> str:
    """`input [ … ]` or `output [ … ]` of (name, config type, dims)."""
    entries = (f'{{ name: "{name}" data_type: {data_type} dims: [ {dims} ] }}' for name, data_type, dims in named)
    return f"{kind} [ {', '.join(entries)} ]\n"


def write_model(repository: pathlib.Path, name: str, config: str, versions=("1",)):
    for version in versions:
        (repository / name / version).mkdir(parents=True, exist_ok=True)
    (repository / name / "config.pbtxt").write_text(config)


def identity(data_type: str = "TYPE_FP32", dims: str = "-1", more: str = "max_batch_size: 0\n") -> str:
    inputs = tensors("input", ("INPUT0", data_type, dims))
    return 'backend: "identity"\n' + more + inputs + tensors("output", ("OUTPUT0", data_type, dims))


def write_identity_models(repository: pathlib.Path):
    for name, data_type in DATA_TYPES.items():
        write_model(repository, f"identity_{name.lower()}", identity(data_type))
    batching = "max_batch_size: 8\ndynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 200000 }\n"
    write_model(repository, "batched", identity(dims="4", more=batching))
    delay = f'parameters {{ key: "execute_delay_ms" value: {{ string_value: "{SLOW_MODEL_MILLISECONDS}" }} }}\n'
    write_model(repository, "slow", identity(more="max_batch_size: 0\n" + delay))
    versions = "max_batch_size: 0\nversion_policy: { specific: { versions: [ 1, 3 ] } }\n"
    write_model(repository, "versioned", identity(more=versions), versions=("1", "2", "3"))
    two = tensors("input", ("FLOATS", "TYPE_FP32", "2"), ("TEXTS", "TYPE_STRING", "-1"))
    two += tensors("output", ("FLOATS_OUT", "TYPE_FP32", "2"), ("TEXTS_OUT", "TYPE_STRING", "-1"))
    write_model(repository, "two", 'backend: "identity"\nmax_batch_size: 0\n' + two)


def write_ensemble_of(repository: pathlib.Path, name: str, member: str):
    """INPUT0 through an identity model twice."""
    write_ensemble(repository, name, (member, member))


def write_ensemble(repository: pathlib.Path, name: str, members: tuple[str, str]):
    """INPUT0 through one identity model and then through another."""
    steps = ((members[0], "INPUT0", "between"), (members[1], "between", "OUTPUT0"))
    step_texts = (
        f'{{ model_name: "{model}" model_version: -1 input_map {{ key: "INPUT0" value: "{source}" }} '
        f'output_map {{ key: "OUTPUT0" value: "{target}" }} }}'
        for model, source, target in steps
    )
    config = 'platform: "ensemble"\nmax_batch_size: 0\n'
    config += tensors("input", ("INPUT0", "TYPE_FP32", "-1")) + tensors("output", ("OUTPUT0", "TYPE_FP32", "-1"))
    write_model(repository, name, config + f"ensemble_scheduling {{ step [ {', '.join(step_texts)} ] }}\n")


def write_onnx_models(repository: pathlib.Path):
    """Directories with nothing but 1/model.onnx: the server completes their configurations."""
    for name in ("add_sub", "string_identity", "identity_all_types", "mlp"):
        folder = repository / name / "1"
        folder.mkdir(parents=True)
        shutil.copy(ROOT / "tests/models" / f"{name}.onnx", folder / "model.onnx")


def write_plugins(repository: pathlib.Path):
    """The test guests that `cargo xtask guests` builds."""
    for name in ("identity", "hostile"):
        write_plugin(repository, f"plugin_{name}", name)


def write_plugin(repository: pathlib.Path, name: str, guest: str, calls=("*",)):
    """A model whose backend is a test guest that may call these models."""
    write_model(repository, name, identity().replace('"identity"', '"wasm"'))
    (repository / name / "plugin.toml").write_text(f"[grants]\nmodels = {json.dumps(calls)}\n")
    shutil.copy(ROOT / f"target/guests/{guest}.wasm", repository / name / "1/model.wasm")


def write_repository(repository: pathlib.Path):
    write_identity_models(repository)
    write_ensemble_of(repository, "ensemble", "identity_fp32")
    write_onnx_models(repository)
    write_plugins(repository)
