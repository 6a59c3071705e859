"""How a function or a class becomes a plugin. `plugin.py` has one of them; `nereid_plugin.py` gives it to the host.

The host calls one instance for one request at a time. An exception is the answer to its request alone: `nereid.Error` with
its kind, any other as `internal` with its type, text and place, and with its traceback in the server's log.
Running out of memory ends the instance, because nothing can be relied on then.
"""

import traceback

from . import log, response
from .errors import Error, describe, to_host
from .request import Inputs, Request

TRANSFORM = "transform"
MODEL = "model"
FULL_MODEL = "full-model"

_registered = []


class Transform:
    """The one-function plugin as a class, where something is to be made once: read settings and build tables in `__init__`,
    which runs before the first request of an instance. What `self` keeps is seen by later calls to the same instance only."""

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        register(TRANSFORM, cls)

    def run(self, request: Request, inputs: Inputs):
        """Answers one request with a `Response` or a dict of tensors."""
        raise NotImplementedError("a plugin has a method `run(self, request, inputs)`")


def transform(function):
    """Makes a function `run(request, inputs)` the plugin."""
    register(TRANSFORM, lambda: _Function(function))
    return function


class _Function:
    def __init__(self, function):
        self.run = function


class ExportedTransform:
    """What the host calls in the world `transform-plugin`."""

    _plugin = None

    def run(self, request, inputs):
        try:
            return response.to_host(self._instance().run(Request(request), Inputs(inputs)))
        except MemoryError:
            raise
        except Exception as exception:
            raise report(exception) from None

    def _instance(self):
        if ExportedTransform._plugin is None:
            ExportedTransform._plugin = registered()()
        return ExportedTransform._plugin


def report(exception: Exception):
    """What the host is told of an exception. The traceback of one that is no `nereid.Error` goes to the server's log."""
    if isinstance(exception, Error):
        return to_host(exception)
    log.error("".join(traceback.format_exception(exception)))
    return to_host(Error("internal", describe(exception)))


def register(kind: str, maker) -> None:
    _registered.append((kind, maker))
    if len(_registered) > 1:
        raise RuntimeError("a component is one plugin: this is the second class or function of plugin.py that wants to be it")


def registered():
    """What makes the plugin."""
    return _registered[0][1]


def check_registered(world: str) -> None:
    """Said while the component is built."""
    if not _registered:
        kinds = "a function under @nereid.transform, or a subclass of nereid.Transform, nereid.Model or nereid.FullModel"
        raise RuntimeError(f"plugin.py has no plugin, expected {kinds}")
    kind = _registered[0][0]
    if kind != world:
        raise RuntimeError(
            f"plugin.py is a {kind}, and the component is built for the world {world}-plugin: the build goes by whether the"
            f" sources say nereid.Model or nereid.FullModel, so name it with its module there, and only there"
        )
