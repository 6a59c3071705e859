"""The plugin that sees whole batches: per request an answer, an error, many responses, an answer later, another execution.

    class Echo(nereid.Model):
        def answer(self, request):
            return {"Y": request.inputs["X"]}

`answer` is called for each request of a batch; a model that computes over all of them overrides `execute` instead. Whatever
class of `plugin.py` is a `nereid.Model` makes the component one of the world `model-plugin`.
"""

from dataclasses import dataclass

from . import response, tensor
from .errors import Error
from .export import MODEL, register, registered, report
from .request import Request


class _Deferred:
    def __repr__(self) -> str:
        return "nereid.DEFERRED"


# The answer goes through the request's sender, before `execute` returns or in a later call of it.
DEFERRED = _Deferred()


@dataclass(frozen=True)
class Reschedule:
    """The request is executed again in a later batch, with these outputs as its state: for models with
    `sequence_batching { iterative_sequence: true }`."""

    states: dict


class Model:
    """A model of whole batches. `__init__` runs when the instance starts: settings are read and tables built there, and an
    exception fails the load with its text. One instance executes one batch at a time."""

    _world = MODEL

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        # One that says its world is a class of this package's.
        if "_world" not in vars(cls):
            register(cls._world, cls)

    def execute(self, batch: list) -> list:
        """Answers the requests of one batch: for each, in their order, a `Response` or dict of tensors, an exception (its
        error alone), `DEFERRED`, or a `Reschedule`. As it is, it asks `answer` of each."""
        return [self._answer(request) for request in batch]

    def answer(self, request):
        """Answers one request of a batch, as in `execute`. What it raises is the error of this request alone."""
        raise NotImplementedError("a model has a method `answer(self, request)` or `execute(self, batch)`")

    def finalise(self) -> None:
        """Puts things in order before the instance is given up, once all requests have ended."""

    def _answer(self, request):
        try:
            return self.answer(request)
        except MemoryError:
            raise
        except Exception as exception:
            return exception


class ExportedModel:
    """What the host calls in the world `model-plugin`."""

    _model = None

    def initialise(self) -> None:
        try:
            ExportedModel._model = registered()()
        except MemoryError:
            raise
        except Exception as exception:
            raise report(exception) from None

    def execute(self, batch) -> list:
        requests = [Request(handle) for handle in batch]
        try:
            outcomes = list(ExportedModel._model.execute(requests))
        except MemoryError:
            raise
        except Exception as exception:
            outcomes = [exception] * len(requests)
        return [_outcome(outcome) for outcome in outcomes]

    def finalise(self) -> None:
        if ExportedModel._model is not None:
            ExportedModel._model.finalise()


def _outcome(outcome):
    # Only this world has it.
    from wit_world.exports import model as exported

    try:
        if isinstance(outcome, Exception):
            return exported.Outcome_Failure(report(outcome).value)
        if outcome is DEFERRED:
            return exported.Outcome_Deferred()
        if isinstance(outcome, Reschedule):
            return exported.Outcome_Reschedule(tensor.to_host(outcome.states))
        return exported.Outcome_Answer(response.to_host(outcome))
    except (Error, TypeError) as unfit:
        return exported.Outcome_Failure(report(unfit).value)
