"""Write a Nereid plugin in Python: a function or a class, tensors, calls to other models.

    import nereid

    @nereid.transform
    def run(request, inputs):
        x = inputs["X"]
        return {"Y": nereid.Tensor.from_list("FP32", x.shape, [2 * value for value in x.tolist()])}

`Model` makes one that sees whole batches, sends many responses, answers later, or has a request executed again; `FullModel` one that
also knows its configuration, says when it cannot work, and has something to do before it goes.

Cost: handing a tensor on is free whatever its size; reading or writing one copies it once, and a loop over its elements is
a hundred times slower than in Rust. Every exception is the error of one request, with its place. Refused: keeping a
tensor for the next request, because the host closes all of them when the call ends.

Names come one by one, so that a change of the contract cannot silently become a change of this package.
"""

from . import control, files, http, log, metrics, operations, state, tokenizers, trace
from .errors import Error
from .export import Transform, transform
from .infer import Pending, infer, model_ready, submit, wait_any
from .batches import DEFERRED, Model, Reschedule
from .full_models import ConfigDraft, FullModel, TensorDraft
from .request import Inputs, Request, Sequence
from .response import Response
from .secrets import secret
from .sender import Sender
from .settings import ModelInfo, TensorInfo, instance_name, model, setting, settings
from .tensor import Tensor

__all__ = [
    "ConfigDraft", "DEFERRED", "Error", "FullModel", "Inputs", "Model", "ModelInfo", "Pending", "Request", "Reschedule",
    "Response", "Sender", "Sequence", "Tensor", "TensorDraft", "TensorInfo", "Transform", "control", "files", "http", "infer",
    "instance_name", "log", "metrics", "model", "model_ready", "operations", "secret", "setting", "settings", "state", "submit",
    "tokenizers", "trace", "transform", "wait_any",
]
