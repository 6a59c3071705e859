"""How a function or a class becomes a plugin. `plugin.py` has one of them; `nereid_plugin.py` gives it to the host.

The host calls one instance for one request at a time. An exception is the answer to its request alone: `nereid.Error` with
its kind, any other as `internal` with its type, text and place, and with its traceback in the server's log.
Running out of memory ends the instance, because nothing can be relied on then.
"""

import traceback

from . import log, response
from .errors import Error, describe, to_host
from .request import Inputs, Request

_registered = []


class Transform:
    """The one-function plugin as a class, where something is to be made once: read settings and build tables in `__init__`,
    which runs before the first request of an instance. What `self` keeps is seen by later calls to the same instance only."""

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        _register(cls)

    def run(self, request: Request, inputs: Inputs):
        """Answers one request with a `Response` or a dict of tensors."""
        raise NotImplementedError("a plugin has a method `run(self, request, inputs)`")


def transform(function):
    """Makes a function `run(request, inputs)` the plugin."""
    _register(lambda: _Function(function))
    return function


class _Function:
    def __init__(self, function):
        self.run = function


def _register(maker) -> None:
    _registered.append(maker)
    if len(_registered) > 1:
        raise RuntimeError("a component is one plugin: this is the second class or function of plugin.py that wants to be it")


class Exported:
    """What the host calls."""

    _plugin = None

    def run(self, request, inputs):
        try:
            return response.to_host(self._instance().run(Request(request), Inputs(inputs)))
        except Error as error:
            raise to_host(error) from None
        except MemoryError:
            raise
        except Exception as exception:
            log.error("".join(traceback.format_exception(exception)))
            raise to_host(Error("internal", describe(exception))) from None

    def _instance(self):
        if Exported._plugin is None:
            Exported._plugin = _registered[0]()
        return Exported._plugin


def check_registered() -> None:
    """Said while the component is built."""
    if not _registered:
        raise RuntimeError("plugin.py has neither a function under @nereid.transform nor a subclass of nereid.Transform")
