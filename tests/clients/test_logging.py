"""The log and its settings: what is switched on is written, in the format that is set, from the next line on."""

import re

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from tritonclient.utils import InferenceServerException

START = {
    "log_file": "",
    "log_info": True,
    "log_warning": True,
    "log_error": True,
    "log_verbose_level": 0,
    "log_format": "default",
}
ONE = np.array([1.5], np.float32)
DEFAULT_LINE = r'I\d{4} \d\d:\d\d:\d\d\.\d{6} \d+ [a-z_]+\.rs:\d+\] "(.*)"'
ISO_LINE = r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ I \d+ [a-z_]+\.rs:\d+\] "(.*)"'


class LoggedClient(Client):
    """Log settings as plain values over either protocol."""

    def get(self) -> dict:
        return self._plain(self.raw.get_log_settings(**self._as_json))

    def update(self, **settings) -> dict:
        return self._plain(self.raw.update_log_settings(settings, **self._as_json))

    def _plain(self, answer: dict) -> dict:
        if self.protocol == "http":
            return answer
        return {key: next(iter(setting.values())) for key, setting in answer["settings"].items()}


@pytest.fixture(params=PROTOCOLS)
def logged(request, start_server, repository):
    server = start_server(repository)
    client = LoggedClient(request.param, server)
    yield client, server
    client.close()


def new_lines(server, before: str) -> list[str]:
    return server.log_text().removeprefix(before).splitlines()


def test_every_setting_is_shown_and_changed(logged):
    client, _ = logged
    assert client.get() == START
    assert client.update(log_info=False) == START | {"log_info": False}
    changes = {"log_info": True, "log_warning": False, "log_error": False, "log_verbose_level": 2, "log_format": "ISO8601"}
    assert client.update(**changes) == START | changes
    assert client.get() == START | changes


def test_wrong_values_are_refused_and_change_nothing(logged):
    client, _ = logged

    def refused(text: str, **settings):
        with pytest.raises(InferenceServerException, match=re.escape(text)):
            client.update(**settings)

    refused("log file location can not be updated through network protocol", log_file="x", log_info=False)
    option = "--log_format" if client.protocol == "http" else "log_format"
    refused(f"invalid argument for {option}, got: x", log_format="x", log_info=False)
    if client.protocol == "http":  # the gRPC client cannot be made to send a wrong type
        refused("Unable to parse 'log_info': attempt to access JSON non-boolean as boolean", log_info="yes")
    assert client.get() == START


def test_a_verbose_log_has_a_line_per_request_from_the_next_one_on(logged):
    client, server = logged
    before = server.log_text()
    client.identity("identity_fp32", ONE, request_id="quiet")
    client.update(log_verbose_level=1)
    client.identity("identity_fp32", ONE, request_id="spoken")
    with pytest.raises(InferenceServerException):
        client.identity("does_not_exist", ONE)
    client.update(log_format="ISO8601")
    client.identity("identity_fp32", ONE, request_id="iso")
    client.update(log_verbose_level=0)
    client.identity("identity_fp32", ONE, request_id="quiet")
    lines = [line for line in new_lines(server, before) if " request " in line]
    status = {"http": ("HTTP", "200 OK", "404 Not Found"), "grpc": ("gRPC", "Ok", "NotFound")}[client.protocol]
    spoken, failed, iso = lines
    text = rf"{status[0]} infer request '{{}}' of model 'identity_fp32' version 1: {status[1]} after \d+ us"
    assert re.fullmatch(text.format("spoken"), re.fullmatch(DEFAULT_LINE, spoken)[1])
    assert re.fullmatch(text.format("iso"), re.fullmatch(ISO_LINE, iso)[1])
    failure = rf"{status[0]} infer request '' of model 'does_not_exist': {status[2]} after \d+ us"
    assert re.fullmatch(failure, re.fullmatch(DEFAULT_LINE, failed)[1])


def test_a_log_that_is_switched_off_is_silent(logged):
    client, server = logged
    client.update(log_info=False, log_warning=False, log_error=False)
    before = server.log_text()
    server.terminate()
    assert server.wait() == 0
    assert new_lines(server, before) == []


def test_the_log_file_is_shown_and_written(start_server, repository, tmp_path):
    file = tmp_path / "nereid.log"
    server = start_server(repository, f"--log-file={file}", "--log-format=ISO8601", "--log-verbose=1")
    client = LoggedClient("http", server)
    shown = START | {"log_file": str(file), "log_format": "ISO8601", "log_verbose_level": 1}
    assert client.get() == shown
    client.identity("identity_fp32", ONE, request_id="filed")
    client.close()
    assert any("request 'filed'" in line and re.match(ISO_LINE, line) for line in file.read_text().splitlines())
