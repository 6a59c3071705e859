"""examples/router: one name for several models. Who answers by what a request says, who when the first one does not, and what is
remembered."""

import hashlib
import json
import re
import shutil
import threading

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from repository import tensors, write_model
from server import ROOT, Server
from streams import wait_until
from tritonclient.utils import InferenceServerException

EXAMPLE = ROOT / "examples/router/model_repository"
# As long as nobody waits.
SLOW = 'parameters { key: "execute_delay_ms" value: { string_value: "20000" } }\n'
PAUSE_MILLISECONDS = 1500
XY = tensors("input", ("X", "TYPE_INT32", "1")) + tensors("output", ("Y", "TYPE_INT32", "1"))


def parameters(**settings) -> str:
    return "".join(f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}\n' for key, value in settings.items())


def write_router(models, name: str, **settings):
    """A router over models that give X as Y."""
    settings = {"timeout_ms": 5000, "pause_ms": PAUSE_MILLISECONDS} | settings
    write_model(models, name, 'backend: "wasm"\nmax_batch_size: 8\n' + XY + parameters(**settings))
    shutil.copy(EXAMPLE / "digits/1/model.wasm", models / name / "1/model.wasm")
    (models / name / "plugin.toml").write_text('[grants]\nmodels = ["*"]\n[limits]\nstate_kib = 4\n')


def write_keys(path):
    """One key of a tenant, one of nobody's."""
    text = 'open = ["health", "metrics", "statistics"]\n'
    for name, more in (("acme", 'tenant = "acme"\n'), ("nobody", "")):
        digest = hashlib.sha256(name.encode()).hexdigest()
        text += f'[[key]]\nname = "{name}"\nsha256 = "{digest}"\ncategories = ["all"]\n{more}'
    path.write_text(text)


@pytest.fixture(scope="module")
def routed(binary, tmp_path_factory):
    models = tmp_path_factory.mktemp("routed")
    for name, more in (("left", ""), ("right", ""), ("slow", SLOW)):
        write_model(models, name, 'backend: "identity"\nmax_batch_size: 8\n' + XY + more)
    write_model(models, "moody", 'backend: "wasm"\nmax_batch_size: 8\n' + XY)
    shutil.copy(ROOT / "target/guests/batcher.wasm", models / "moody/1/model.wasm")
    routes = {"route.default": "left, right", "route.slow": "slow, right", "route.moody": "moody, right", "route.gone": "nobody, right"}
    write_router(models, "router", cache_seconds=0, timeout_ms=600, **routes, **{"route.alone": "nobody", "tenant.acme": "moody"})
    write_router(models, "hasty", cache_seconds=0, timeout_ms=600, **routes)
    write_router(models, "split", cache_seconds=0, split="default 70, other 30", **{"route.default": "left", "route.other": "right"})
    write_router(models, "remembering", **routes)
    write_router(models, "forgetful", cache_seconds=2, **routes)
    folder = tmp_path_factory.mktemp("routed_server")
    (folder / "nereid.toml").write_text("[tenants.acme]\n")
    write_keys(folder / "keys.toml")
    flags = [f"--server-config={folder}/nereid.toml", f"--api-key-file={folder}/keys.toml"]
    with Server(binary, folder / "log", [models], *flags) as running:
        yield running


@pytest.fixture(params=PROTOCOLS)
def client(request, routed):
    connected = Client(request.param, routed)
    yield connected
    connected.close()


def said(result) -> dict:
    """The parameters of an answer, over either protocol."""
    answer = result.get_response()
    if isinstance(answer, dict):
        return answer["parameters"]
    return {name: getattr(value, value.WhichOneof("parameter_choice")) for name, value in answer.parameters.items()}


def ask(client: Client, router: str, x: int = 1, key: str = "nobody", **wishes):
    given = client.input("X", np.array([[x]], np.int32), "INT32")
    result = client.infer(router, given, parameters=wishes or None, headers={"authorization": f"Bearer {key}"})
    return result.as_numpy("Y").item(), said(result)


def figure(server, name: str, **labels) -> float:
    found = 0.0
    for shown, value in re.findall(rf"^{name}{{([^}}]*)}} (\S+)$", server.metrics(), re.MULTILINE):
        if all(f'{key}="{wanted}"' in shown for key, wanted in labels.items()):
            found += float(value)
    return found


def test_the_first_model_of_the_route_answers(client):
    y, parameters = ask(client, "router", 5)
    assert y == 5 and parameters == {"model": "left", "route": "default", "cached": False, "fallbacks": 0}


def test_a_request_names_its_route(client):
    assert ask(client, "router", 7, route="moody")[1]["model"] == "moody"
    with pytest.raises(InferenceServerException, match="parameter 'route' is 'x', expected one of 'alone', 'default'"):
        ask(client, "router", route="x")


def test_a_tenant_has_a_route_of_its_own(client):
    assert ask(client, "router", key="acme")[1]["route"] == "moody"
    assert ask(client, "router")[1]["route"] == "default"


def test_users_are_split_and_each_stays_where_it_is(client):
    models = [ask(client, "split", user=f"user {number}")[1]["model"] for number in range(100)]
    assert 15 <= models.count("right") <= 45
    assert [ask(client, "split", 9, user=f"user {number}")[1]["model"] for number in range(30)] == models[:30]


def test_without_a_user_the_content_decides(client):
    models = [ask(client, "split", number)[1]["model"] for number in range(100)]
    assert 15 <= models.count("right") <= 45
    assert [ask(client, "split", number)[1]["model"] for number in range(30)] == models[:30]


def test_a_model_that_is_not_there_is_passed_over(client, routed):
    before = figure(routed, "router_fallbacks_total", model="router", reason="not_ready")
    assert ask(client, "router", 3, route="gone") == (3, {"model": "right", "route": "gone", "cached": False, "fallbacks": 1})
    assert figure(routed, "router_fallbacks_total", model="router", reason="not_ready") == before + 1
    assert figure(routed, "router_answers_total", model="router", route="gone", answered_by="right") >= 1


@pytest.mark.parametrize("mood, reason", [("fail", "not_ready"), ("trap with the sender", "failed")])
def test_a_model_that_fails_is_passed_over(client, routed, mood, reason):
    labels = {"model": "router", "from": "moody", "reason": reason}
    before = figure(routed, "router_fallbacks_total", **labels)
    assert ask(client, "router", 4, route="moody", do=mood) == (4, {"model": "right", "route": "moody", "cached": False, "fallbacks": 1})
    assert figure(routed, "router_fallbacks_total", **labels) == before + 1


def test_a_clients_own_mistake_is_told_by_the_first_model(client, routed):
    with pytest.raises(InferenceServerException, match="the parameter 'do' is not known") as refused:
        ask(client, "router", route="moody", do="the impossible")
    assert refused.value.status() in ("400", "StatusCode.INVALID_ARGUMENT")


def test_the_last_models_error_is_the_answer(client):
    with pytest.raises(InferenceServerException, match="route 'alone': Request for unknown model: 'nobody' is not found"):
        ask(client, "router", route="alone")


def test_a_slow_model_is_passed_over_and_left_alone_for_a_while(client, routed):
    """Each protocol has a router of its own, because the pause is the router's."""
    router = {"http": "router", "grpc": "hasty"}[client.protocol]
    fallbacks = lambda reason: figure(routed, "router_fallbacks_total", model=router, **{"from": "slow", "reason": reason})  # noqa: E731
    assert ask(client, router, 6, route="slow") == (6, {"model": "right", "route": "slow", "cached": False, "fallbacks": 1})
    assert (fallbacks("timeout"), fallbacks("paused")) == (1, 0)
    assert ask(client, router, 7, route="slow")[0] == 7
    assert (fallbacks("timeout"), fallbacks("paused")) == (1, 1)

    def asked_again() -> bool:
        ask(client, router, 8, route="slow")
        return fallbacks("timeout") == 2

    wait_until(asked_again)


def executions(server, model: str) -> int:
    return json.loads(server.get(f"/v2/models/{model}/stats").body)["model_stats"][0]["execution_count"]


def test_the_same_question_is_answered_from_memory(client, routed):
    x = {"http": 1001, "grpc": 1002}[client.protocol]
    hits, misses = (figure(routed, f"router_cache_{kind}_total", model="remembering") for kind in ("hits", "misses"))
    executed = executions(routed, "left")
    assert ask(client, "remembering", x)[1]["cached"] is False
    for _ in range(3):
        assert ask(client, "remembering", x) == (x, {"model": "left", "route": "default", "cached": True, "fallbacks": 0})
    assert ask(client, "remembering", x, route="moody", do="") == (x + 1, {"model": "moody", "route": "moody", "cached": False, "fallbacks": 0})
    assert ask(client, "remembering", x, hint="another question")[1]["cached"] is False
    assert ask(client, "remembering", x, cache=False)[1]["cached"] is False
    assert figure(routed, "router_cache_hits_total", model="remembering") == hits + 3
    assert figure(routed, "router_cache_misses_total", model="remembering") == misses + 3
    assert executions(routed, "left") == executed + 3


def test_another_models_answer_is_not_remembered(client):
    for _ in range(2):
        assert ask(client, "remembering", 2000, route="gone")[1]["cached"] is False


def test_answers_are_forgotten(client):
    x = {"http": 3001, "grpc": 3002}[client.protocol]
    assert ask(client, "forgetful", x)[1]["cached"] is False
    assert ask(client, "forgetful", x)[1]["cached"] is True
    wait_until(lambda: not ask(client, "forgetful", x)[1]["cached"])


def test_no_answer_fails_when_the_memory_is_full(client, routed):
    for x in range(4000, 4040):
        assert ask(client, "remembering", x)[0] == x
    assert figure(routed, "router_cache_full_total", model="remembering") > 0


def test_sequences_are_refused(client):
    options = {"sequence_id": 5, "sequence_start": True, "headers": {"authorization": "Bearer nobody"}}
    with pytest.raises(InferenceServerException, match="a router answers requests that stand alone"):
        client.infer("router", client.input("X", np.ones((1, 1), np.int32), "INT32"), **options)


@pytest.fixture(scope="module")
def example(binary, tmp_path_factory):
    """The example as its README serves it, with its first choice under a person's control."""
    log = tmp_path_factory.mktemp("router_example") / "log"
    loads = [f"--load-model={name}" for name in ("digits", "digits_cnn", "digits_cnn_large")]
    with Server(binary, log, [ROOT / "model_repository", EXAMPLE], "--model-control-mode=explicit", *loads) as running:
        yield running


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_digits_are_told_while_the_large_model_is_away(example, protocol):
    client = Client(protocol, example)
    image = np.random.default_rng(PROTOCOLS.index(protocol)).random((1, 1, 28, 28), np.float32)
    given = client.input("image", image, "FP32")
    logits = lambda model, **wishes: client.infer(model, given, parameters=wishes or None)  # noqa: E731
    large, small = (logits(model).as_numpy("logits") for model in ("digits_cnn_large", "digits_cnn"))
    for cached in (False, True):
        result = logits("digits")
        assert (said(result)["model"], said(result)["cached"]) == ("digits_cnn_large", cached)
        np.testing.assert_allclose(result.as_numpy("logits"), large, rtol=1e-5)
    client.raw.unload_model("digits_cnn_large")
    wait_until(lambda: not client.raw.is_model_ready("digits_cnn_large"))
    away = logits("digits", cache=False)
    assert (said(away)["model"], said(away)["fallbacks"]) == ("digits_cnn", 1)
    np.testing.assert_allclose(away.as_numpy("logits"), small, rtol=1e-5)
    client.raw.load_model("digits_cnn_large")
    assert said(logits("digits", cache=False))["model"] == "digits_cnn_large"
    client.close()


def test_many_ask_at_once(example):
    """More than there are instances: nobody waits for ever, everybody is answered right."""
    failures = []

    def drive(seed: int):
        client = Client("grpc", example)
        try:
            for number in range(10):
                image = np.full((1, 1, 28, 28), seed * 10 + number, np.float32)
                given = client.input("image", image, "FP32")
                one, other = (client.infer(model, given).as_numpy("logits") for model in ("digits", "digits_cnn_large"))
                np.testing.assert_allclose(one, other, rtol=1e-4)
        except BaseException as error:  # noqa: BLE001 (told in the test's own thread)
            failures.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=drive, args=[seed]) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]
