"""Requests to the servers that `plugin.toml` lists under `[grants] http`.

    answer = nereid.http.post("https://api.example.com/score", json={"text": text}, headers={"authorization": f"Bearer {key}"})
    if not answer.ok:
        raise nereid.Error("unavailable", f"the scorer said {answer.status}")
    score = answer.json()["score"]

Redirects are answers like any other. While a request is under way the plugin's computing time stands.
"""

import json as _json

from componentize_py_types import Ok
from wit_world.imports import http as host

from . import values
from .errors import Error, raised_by_host

# Milliseconds that the contract can say: 49 days.
_WAIT_MAX = 2**32 - 1


class Answer:
    """What a server answered, whatever its status. `headers` has names in small letters."""

    __slots__ = ("status", "headers", "body")

    def __init__(self, status: int, headers: dict[str, str], body: bytes):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def ok(self) -> bool:
        """Whether the status is 200 to 299."""
        return 200 <= self.status < 300

    def text(self) -> str:
        return self.body.decode()

    def json(self):
        return _json.loads(self.body)


def get(url: str, **options) -> Answer:
    """Options as of `request`."""
    return request("GET", url, **options)


def post(url: str, **options) -> Answer:
    """Options as of `request`."""
    return request("POST", url, **options)


def request(method: str, url: str, **options) -> Answer:
    """Sends a request and waits for the answer.

    Options: `headers` (a dict), `body` (bytes), `json` (a value that is sent as `application/json`), `timeout` (seconds, for
    the whole answer).
    """
    asked = _to_host(method, url, **options)
    with raised_by_host():
        return _from_host(host.send(asked))


def request_all(requests: list[tuple[str, str, dict]]) -> list:
    """Sends several at the same time, each a method, a URL and options. An `Answer` or an `Error` for each, in their order."""
    answers = host.send_all([_to_host(method, url, **options) for method, url, options in requests])
    return [_from_host(answer.value) if isinstance(answer, Ok) else _refused(answer.value) for answer in answers]


def _to_host(method: str, url: str, *, headers=None, body: bytes = b"", json=None, timeout=None):
    lines = [host.Header(name, value.encode()) for name, value in (headers or {}).items()]
    if json is not None:
        body = _json.dumps(json).encode()
        lines.append(host.Header("content-type", b"application/json"))
    return host.Request(method, url, lines, body, values.milliseconds(timeout, _WAIT_MAX))


def _from_host(answer) -> Answer:
    # What is no UTF-8 in a header is rare, and worth more in part than not at all.
    headers = {header.name: header.value.decode(errors="replace") for header in answer.headers}
    return Answer(answer.status, headers, answer.body)


def _refused(error) -> Error:
    return Error(error.code.name.lower().replace("_", "-"), error.message)
