"""nereid.toml is followed while the server runs: quotas from the next request on, ceilings from the next load on, and a content that
is wrong changes nothing and is seen. And tokens, which are counted for whoever asked."""

import signal

import numpy as np
import pytest
from repository import identity, write_model, write_plugin
from server import ROOT, Server
from streams import wait_until
from test_tenants import Caller, figure, write_keys
from test_tokenizers import KINDS, write
from tritonclient.utils import InferenceServerException

QUOTA = "[tenants.acme.quota]\nrequests_per_second = 0.001\nburst = {}\n"
OTHERS = "[tenants.bolt]\n"


class World:
    """A server and the files that it follows."""

    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        self.operator, self.keys = folder / "nereid.toml", folder / "keys.toml"

    def in_force(self, path) -> float:
        return figure(self.server, "nereid_followed_file_in_force", file=str(path))

    def read_at(self, path) -> float:
        return figure(self.server, "nereid_followed_file_read_seconds", file=str(path))

    def change(self, text: str):
        """Writes the operator's file, and waits until it counts."""
        before = self.read_at(self.operator)
        self.operator.write_text(text)
        wait_until(lambda: self.read_at(self.operator) > before)


@pytest.fixture
def world(binary, tmp_path):
    models = tmp_path / "models"
    write_model(models, "quick", identity())
    write_model(models, "identity", identity())
    write_plugin(models, "relay", "relay", ["identity"])
    (tmp_path / "nereid.toml").write_text(QUOTA.format(2) + OTHERS)
    write_keys(tmp_path / "keys.toml", {"acme": "acme", "bolt": "bolt"})
    flags = [f"--server-config={tmp_path}/nereid.toml", f"--api-key-file={tmp_path}/keys.toml"]
    with Server(binary, tmp_path / "log", [models], "--model-control-mode=explicit", "--load-model=*", *flags) as running:
        yield World(running, tmp_path)


def admitted(caller: Caller) -> int:
    """How many requests are taken before one is refused."""
    for count in range(100):
        try:
            caller.infer("quick")
        except InferenceServerException as error:
            assert "is beyond its" in error.message(), error
            return count
    return 100


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_quota_counts_from_the_next_request_on(world, protocol):
    acme = Caller(world.server, "acme", protocol)
    assert admitted(acme) == 2
    # What was used of the smaller quota is used of the larger one too.
    world.change(QUOTA.format(5) + OTHERS)
    assert admitted(acme) == 3
    world.change("[tenants.acme]\n" + OTHERS)
    assert admitted(acme) == 100
    assert figure(world.server, "nereid_tenant_requests_total", tenant="acme") == 105


def test_a_content_that_is_wrong_changes_nothing_and_is_seen(world):
    acme = Caller(world.server, "acme", "http")
    world.operator.write_text(QUOTA.format(9).replace("burst", "brust"))
    wait_until(lambda: world.in_force(world.operator) == 0)
    assert admitted(acme) == 2
    assert "the change cannot be used, nothing has changed" in world.server.log_text()
    assert "unknown field `brust`" in world.server.log_text()
    world.change(QUOTA.format(3) + OTHERS)
    assert (world.in_force(world.operator), admitted(acme)) == (1, 1)


def test_a_hangup_reads_it_at_once_whether_or_not_it_has_changed(world):
    before = world.read_at(world.operator)
    world.server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: world.read_at(world.operator) > before)
    assert "read again: server configuration '" in world.server.log_text()


def test_a_tenant_comes_with_its_key_and_leaves_without(world):
    acme, bolt = Caller(world.server, "acme", "grpc"), Caller(world.server, "bolt", "grpc")
    write_keys(world.keys, {"acme": "acme", "bolt": "bolt", "cog": "cog"})
    wait_until(lambda: world.in_force(world.keys) == 0)
    # The keys that could not be used before can be now, and are read again although they have not changed.
    world.change("[tenants.acme]\n[tenants.bolt]\n[tenants.cog]\n")
    wait_until(lambda: world.in_force(world.keys) == 1)
    Caller(world.server, "cog", "grpc").infer("quick")
    world.change("[tenants.acme]\n[tenants.cog]\n")
    with pytest.raises(InferenceServerException, match="nereid.toml lists no tenant 'bolt' any more: its keys are for nothing"):
        bolt.infer("quick")
    acme.infer("quick")
    world.change("[tenants.acme]\n[tenants.bolt]\n[tenants.cog]\n")
    bolt.infer("quick")


def test_a_ceiling_counts_from_the_next_load_on(world):
    bolt = Caller(world.server, "bolt", "http")
    bolt.infer("relay")
    world.change("[tenants.acme]\n[tenants.bolt]\n[plugins.grants]\nmodels = [\"other\"]\n")
    # What is loaded keeps what it was granted.
    bolt.infer("relay")
    load = lambda: world.server.request("POST", "/v2/repository/models/relay/load", headers={"authorization": "Bearer bolt"})  # noqa: E731
    (world.folder / "models/relay/1/model.wasm").touch()
    answer = load()
    assert answer.status >= 400 and b"models 'identity': the operator does not allow it" in answer.body, answer
    bolt.infer("relay")
    world.change("[tenants.acme]\n[tenants.bolt]\n")
    assert load().status == 200
    bolt.infer("relay")


def test_tokens_are_counted_for_whoever_asked(binary, tmp_path):
    models = tmp_path / "models"
    write(models, "tokens", (ROOT / f"host/operations/tests/golden/{KINDS[0]}.tokenizer.json").read_bytes())
    write_keys(tmp_path / "keys.toml", {"acme": "acme", "bolt": "bolt", "nobody": None})
    with Server(binary, tmp_path / "log", [models], f"--api-key-file={tmp_path}/keys.toml") as server:
        expected = {}
        for key, texts in (("acme", [b"one text", b"and a longer one"]), ("bolt", [b"x"]), ("nobody", [b"a b c"])):
            caller = Caller(server, key, "grpc")
            given = caller.triton.InferInput("TEXT", [len(texts)], "BYTES")
            given.set_data_from_numpy(np.array(texts, np.object_))
            for _ in range(3):
                answer = caller.client.infer("tokens", [given], headers=caller.headers)
                counted = expected.setdefault("" if key == "nobody" else key, [0, 0])
                counted[0] += int(answer.as_numpy("MASK").sum())
                counted[1] += answer.as_numpy("IDS").size
        for tenant, (encoded, decoded) in expected.items():
            labels = {"model": "tokens", "tenant": tenant}
            assert figure(server, "nereid_plugin_encoded_tokens_total", **labels) == encoded > 0
            # The guest decodes whole rows, with their padding.
            assert figure(server, "nereid_plugin_decoded_tokens_total", **labels) == decoded > 0
