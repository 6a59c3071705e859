"""Tokenizers of the host, used by a plugin in its sandbox: what comes out is what the library gives elsewhere."""

import json
import shutil

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from repository import tensors, write_model
from server import ROOT, Server
from tritonclient.utils import InferenceServerException

GOLDEN = ROOT / "host/operations/tests/golden"
OUTPUTS = (("IDS", "TYPE_INT64", "-1, -1"), ("MASK", "TYPE_INT64", "-1, -1"), ("DECODED", "TYPE_STRING", "-1"), ("SIZE", "TYPE_INT64", "1"))
CONFIG = 'backend: "wasm"\ninstance_group [ { count: 2 } ]\n' + tensors("input", ("TEXT", "TYPE_STRING", "-1")) + tensors("output", *OUTPUTS)
LENGTH = 'parameters {{ key: "max_length" value: {{ string_value: "{}" }} }}\n'
GRANT = '[grants]\nfiles = [{ path = "text", at = "/model" }]\n'
KINDS = ["wordpiece", "bpe", "unigram"]


def write(models, name: str, definition: bytes, grant: str = GRANT, length: int = 6):
    write_model(models, name, CONFIG + LENGTH.format(length))
    version = models / name / "1"
    shutil.copy(ROOT / "target/guests/tokens.wasm", version / "model.wasm")
    (version / "text").mkdir()
    (version / "text/tokenizer.json").write_bytes(definition)
    (version / "text/odd.json").write_text('{"model": 1}')
    (models / name / "plugin.toml").write_text(grant)


@pytest.fixture(scope="module")
def models(binary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizers")
    for kind in KINDS:
        write(folder, kind, (GOLDEN / f"{kind}.tokenizer.json").read_bytes())
    with Server(binary, tmp_path_factory.mktemp("tokenizers_server") / "log", [folder]) as running:
        yield running
        running.terminate()
        assert running.wait() == 0, running.log_text()[-4000:]


@pytest.fixture(params=PROTOCOLS)
def client(request, models):
    connected = Client(request.param, models)
    yield connected
    connected.close()


def ask(client, model: str, texts: list, **parameters):
    return client.infer(model, client.input("TEXT", np.array(texts, np.object_), "BYTES"), parameters=parameters)


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_are_those_of_the_library_in_python(client, kind):
    cases = json.loads((GOLDEN / "tokenizers.json").read_text())
    wanted = {"tokenizer": kind, "pairs": False, "special_tokens": True, "length_max": 6}
    (case,) = [case for case in cases if wanted.items() <= case.items()]
    answer = ask(client, kind, [text.encode() for text in case["texts"]])
    assert answer.as_numpy("IDS").tolist() == case["ids"]
    assert answer.as_numpy("MASK").tolist() == case["mask"]
    assert [text.decode() for text in answer.as_numpy("DECODED")] == case["decoded"]
    assert answer.as_numpy("SIZE").item() == case["vocabulary_size"]


def test_rows_have_the_length_that_is_asked_for(client):
    answer = ask(client, "bpe", [b"a plugin"], length=9)
    assert answer.as_numpy("IDS").shape == (1, 9)
    # This one is padded on the left.
    assert answer.as_numpy("MASK")[0].tolist() == sorted(answer.as_numpy("MASK")[0].tolist())


@pytest.mark.parametrize(
    ("texts", "parameters", "text"),
    [
        ([b"fine", b"\xff\xfe"], {}, "encode: element 1 is not UTF-8"),
        ([b"a plugin takes tensors"], {"length": 2}, "expected at most the length of 2: open the tokenizer with max-length"),
        ([b"x" * (2**20 + 1)], {}, "encode: element 0 has 1048577 bytes, expected at most 1048576"),
        ([b"x"], {"open": "/model/odd.json"}, "tokenizer: the definition is no tokenizer.json"),
        ([b"x"], {"open": "/model/none.json"}, "'/model/none.json' cannot be read"),
        ([b"x"], {"open": "/etc/passwd"}, "'/etc/passwd' is in no folder that is granted"),
        ([b"x"], {"many": 5}, "4 tokenizers are open, the most that an instance may keep"),
    ],
)
def test_what_cannot_be_encoded_is_refused_and_the_next_request_is_served(client, texts, parameters, text):
    with pytest.raises(InferenceServerException) as refused:
        ask(client, "wordpiece", texts, **parameters)
    assert text in refused.value.message()
    assert ask(client, "wordpiece", [b"the host"]).as_numpy("DECODED").tolist() == [b"the host"]


def test_a_plugin_without_its_tokenizer_says_why(start_server, tmp_path):
    write(tmp_path / "models", "broken", b"{}")
    write(tmp_path / "models", "denied", (GOLDEN / "bpe.tokenizer.json").read_bytes(), grant="")
    client = Client("http", start_server(tmp_path / "models"))
    for model, text in [
        ("broken", "tokenizer: the definition is no tokenizer.json"),
        ("denied", "'/model/tokenizer.json' is in no folder that is granted"),
    ]:
        with pytest.raises(InferenceServerException, match=text):
            ask(client, model, [b"x"])
