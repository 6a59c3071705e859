"""The plugin with the whole life of a model: a `Model` that knows its configuration, says when it cannot work, and has something to
do before it goes.

    class Echo(nereid.FullModel):
        @classmethod
        def complete_config(cls, draft):
            draft.add_input("X", "FP32", [-1])
            draft.add_output("Y", "FP32", [-1])
            draft.max_batch_size = 8

        def answer(self, request):
            return {"Y": request.inputs["X"]}

Whatever class of `plugin.py` is a `nereid.FullModel` makes the component one of the world `full-model-plugin`.
"""

from dataclasses import dataclass, field

from .batches import ExportedModel, Model
from .errors import Error
from .export import FULL_MODEL, registered, report
from .tensor import dtype_of, name_of


@dataclass
class TensorDraft:
    """An input or an output, as far as it is known: `None` where nothing is said. -1 in `dims` stands for any extent, and the batch
    dimension is not among them."""

    name: str
    data_type: str | None = None
    dims: list | None = None
    optional: bool = False


@dataclass
class ConfigDraft:
    """A configuration, as far as it is known. `max_batch_size` is 0 where nothing is said of it, or where tensors have no batch
    dimension; `dynamic_batching` says whether the server puts requests together to batches, and nothing when it is false;
    `decoupled` whether a request may get any number of responses, `None` where nothing is said of it."""

    max_batch_size: int = 0
    inputs: list = field(default_factory=list)
    outputs: list = field(default_factory=list)
    dynamic_batching: bool = False
    decoupled: bool | None = None

    def add_input(self, name: str, data_type: str, dims, optional: bool = False) -> TensorDraft:
        """Says of an input what it is."""
        return _said(self.inputs, TensorDraft(name, data_type, list(dims), optional))

    def add_output(self, name: str, data_type: str, dims) -> TensorDraft:
        """Says of an output what it is."""
        return _said(self.outputs, TensorDraft(name, data_type, list(dims)))


class FullModel(Model):
    """A model of whole batches that may do three things more."""

    _world = FULL_MODEL

    @classmethod
    def complete_config(cls, draft: ConfigDraft) -> None:
        """Says what the plugin knows of its configuration, so that `config.pbtxt` need not say it. The draft has what is written, which
        counts: a contradiction fails the load, and so does an exception, with its text. Asked before there is an instance; no
        other model and no server can be asked."""

    def is_ready(self):
        """Whether the instance can do its work: `False`, or an exception, says that the model is not ready. Asked between two batches,
        when somebody wants to know; must be quick (`readiness_ms`)."""
        return True

    def drain(self) -> None:
        """No further request is routed here: answers now what is kept back (`drain_ms`). `finalise` follows when all requests have
        ended."""


class ExportedCompletion:
    """What the host calls before there is an instance."""

    def complete(self, written):
        try:
            draft = _from_host(written)
            registered().complete_config(draft)
            return _to_host(draft)
        except MemoryError:
            raise
        except Exception as exception:
            raise report(exception) from None


class ExportedReadiness:
    """What the host calls between batches."""

    def check(self) -> None:
        try:
            if ExportedModel._model is not None and ExportedModel._model.is_ready() is False:
                raise Error("unavailable", "is_ready() is False")
        except MemoryError:
            raise
        except Exception as exception:
            raise report(exception) from None


class ExportedDraining:
    """What the host calls before `finalise`."""

    def drain(self) -> None:
        if ExportedModel._model is not None:
            ExportedModel._model.drain()


def _said(tensors: list, draft: TensorDraft) -> TensorDraft:
    for index, tensor in enumerate(tensors):
        if tensor.name == draft.name:
            tensors[index] = draft
            return draft
    tensors.append(draft)
    return draft


def _from_host(draft) -> ConfigDraft:
    def tensor(host) -> TensorDraft:
        data_type = None if host.dtype is None else name_of(host.dtype)
        return TensorDraft(host.name, data_type, None if host.dims is None else list(host.dims), host.optional)

    inputs, outputs = [tensor(host) for host in draft.inputs], [tensor(host) for host in draft.outputs]
    return ConfigDraft(draft.max_batch_size, inputs, outputs, draft.dynamic_batching, draft.decoupled)


def _to_host(draft: ConfigDraft):
    # Only this world has it.
    from wit_world.exports import completion as exported

    def tensor(own: TensorDraft):
        dtype = None if own.data_type is None else dtype_of(own.data_type)
        return exported.TensorDraft(own.name, dtype, None if own.dims is None else list(own.dims), bool(own.optional))

    inputs, outputs = [tensor(own) for own in draft.inputs], [tensor(own) for own in draft.outputs]
    return exported.Draft(draft.max_batch_size, inputs, outputs, bool(draft.dynamic_batching), draft.decoupled)
