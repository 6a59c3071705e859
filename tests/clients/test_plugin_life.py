"""A plugin whose guests fail in a row is let rest, says so, and comes back; its neighbours do not notice. Idle guests go."""

import json

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from repository import identity, write_model, write_plugin
from server import Server
from streams import wait_until
from tritonclient.utils import InferenceServerException

ONE = np.ones(1, np.float32)
FAILURES = 4


def parameters(**values: str) -> str:
    entries = (f'{{ key: "{name}" value: {{ string_value: "{value}" }} }}' for name, value in values.items())
    return "\n".join(f"parameters {entry}" for entry in entries) + "\n"


@pytest.fixture(scope="module")
def living(binary, tmp_path_factory):
    models = tmp_path_factory.mktemp("life")
    write_model(models, "neighbour", identity())
    for name, more in {
        "rests_long": parameters(breaker_failures=FAILURES, breaker_backoff_ms=3_600_000, breaker_backoff_max_ms=3_600_000),
        "rests_briefly": parameters(breaker_failures=FAILURES, breaker_backoff_ms=20, breaker_backoff_max_ms=100),
        "never_rests": parameters(breaker_failures=0),
        "errs": parameters(breaker_failures=FAILURES, breaker_backoff_ms=3_600_000),
        "idles": parameters(idle_guest_seconds=1, idle_guests_min=0),
    }.items():
        write_plugin(models, name, "hostile")
        config = models / name / "config.pbtxt"
        config.write_text(config.read_text() + more)
    log = tmp_path_factory.mktemp("life_server") / "log"
    with Server(binary, log, [models], "--model-control-mode=explicit", "--load-model=*") as running:
        running.models = models
        yield running


@pytest.fixture(params=PROTOCOLS)
def client(request, living):
    opened = Client(request.param, living)
    yield opened
    opened.close()


def call(client: Client, model: str, mode: str = "behave"):
    return client.infer(model, client.input("INPUT0", ONE, "FP32"), parameters={"mode": mode})


def refusal(client: Client, model: str, mode: str = "behave") -> InferenceServerException:
    with pytest.raises(InferenceServerException) as caught:
        call(client, model, mode)
    return caught.value


def figure(server, name: str, **labels: str) -> float:
    wanted = "{" + ",".join(f'{label}="{value}"' for label, value in sorted(labels.items())) + "}"
    lines = [line for line in server.metrics().splitlines() if line.startswith(name + wanted)]
    return float(lines[0].split()[-1]) if lines else -1.0


def reload(server, model: str):
    assert server.request("POST", f"/v2/repository/models/{model}/unload").status == 200
    assert server.request("POST", f"/v2/repository/models/{model}/load").status == 200


def test_a_plugin_that_panics_in_a_row_is_let_rest_and_says_so(living, client):
    reload(living, "rests_long")
    for _ in range(FAILURES):
        assert living.get("/v2/models/rests_long/ready").status == 200
        assert "trapped" in refusal(client, "rests_long", "panic").message()
    told = refusal(client, "rests_long")
    assert f"refuses requests for a while, because {FAILURES} guests failed in a row; try again in 3" in told.message()
    assert "UNAVAILABLE" in told.status() or told.status() == "503", told.status()
    assert living.get("/v2/models/rests_long/ready").status == 400
    index = json.loads(living.request("POST", "/v2/repository/index").body)
    row = next(row for row in index if row["name"] == "rests_long")
    assert row["state"] == "READY" and row["reason"].startswith("not ready now: plugin 'model.wasm'"), row
    assert "the plugin panics on purpose" in row["reason"], row
    assert figure(living, "nereid_plugin_breaker_open", model="rests_long") == 1
    assert figure(living, "nereid_plugin_refused_total", model="rests_long") >= 1
    assert figure(living, "nereid_plugin_guests_retired_total", model="rests_long", reason="trap") >= FAILURES
    # One plugin's rest is nobody else's: the server stays in its balancer, and neighbours are served.
    assert living.get("/v2/health/ready").status == 200
    assert client.identity("neighbour", ONE)[0] == 1


def test_a_new_generation_begins_well(living, client):
    reload(living, "rests_long")
    assert call(client, "rests_long").as_numpy("OUTPUT0")[0] == 1
    assert figure(living, "nereid_plugin_breaker_open", model="rests_long") == 0


def test_it_comes_back_by_itself(living, client):
    for _ in range(FAILURES):
        refusal(client, "rests_briefly", "panic")

    def answered() -> bool:
        try:
            return call(client, "rests_briefly").as_numpy("OUTPUT0")[0] == 1
        except InferenceServerException as error:
            assert "refuses requests for a while" in error.message(), error
            return False

    wait_until(answered)
    assert living.get("/v2/models/rests_briefly/ready").status == 200
    assert figure(living, "nereid_plugin_breaker_open", model="rests_briefly") == 0
    assert figure(living, "nereid_plugin_breaker_openings_total", model="rests_briefly") >= 1


@pytest.mark.parametrize("mode", ["error", "wrong-name", "wrong-shape", "nothing"])
def test_a_plugin_that_only_errs_is_not_let_rest(client, mode):
    for _ in range(3 * FAILURES):
        assert "refuses requests" not in refusal(client, "errs", mode).message()
    assert call(client, "errs").as_numpy("OUTPUT0")[0] == 1


def test_failures_between_answers_are_not_in_a_row(client):
    for _ in range(FAILURES):
        refusal(client, "errs", "panic")
        assert call(client, "errs").as_numpy("OUTPUT0")[0] == 1


def test_without_the_parameter_s_number_it_never_rests(client):
    for _ in range(30):
        assert "trapped" in refusal(client, "never_rests", "panic").message()
    assert call(client, "never_rests").as_numpy("OUTPUT0")[0] == 1


def test_idle_guests_go_and_the_next_call_has_a_new_one(living, client):
    assert call(client, "idles").as_numpy("OUTPUT0")[0] == 1
    wait_until(lambda: figure(living, "nereid_plugin_guests", model="idles") == 0)
    assert figure(living, "nereid_plugin_guests_retired_total", model="idles", reason="idle") >= 1
    assert call(client, "idles").as_numpy("OUTPUT0")[0] == 1


def test_figures_leave_with_their_model(living):
    living.request("POST", "/v2/repository/models/errs/unload")
    wait_until(lambda: 'model="errs"' not in living.metrics())


def test_a_parameter_that_is_no_number_fails_the_load(living):
    write_plugin(living.models, "wrong", "hostile")
    config = living.models / "wrong/config.pbtxt"
    config.write_text(config.read_text() + parameters(breaker_failures="many"))
    answer = living.request("POST", "/v2/repository/models/wrong/load")
    assert answer.status >= 400
    assert "parameter 'breaker_failures' is 'many', expected a whole number from 0 to 1000000" in json.loads(answer.body)["error"]
