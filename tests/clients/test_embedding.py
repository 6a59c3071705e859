"""examples/embedding: texts through a tokenizer, an ONNX model and pooling, as the `tokenizers` library and NumPy have it."""

import json
import re
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from repository import write_model
from server import ROOT, Server
from tritonclient.utils import InferenceServerException

FOLDER = ROOT / "examples/embedding"
MODELS = FOLDER / "model_repository"
GOLDEN = json.loads((FOLDER / "golden.json").read_text())
PASSAGES = (FOLDER / "passages.txt").read_text().splitlines()
# As train_embedding.py has them: passages, questions, odd texts, and one passage alone.
OF_PASSAGES, OF_QUESTIONS, OF_ODD, _ = GOLDEN["tokens"]
QUESTIONS, ODD = OF_QUESTIONS["texts"], OF_ODD["texts"]
ROWS = ("input_ids", "attention_mask", "token_type_ids")
POOLINGS = ("mean", "max", "cls", "last")
LENGTHS = ("tokens", "tokens_longest", "tokens_fixed", "tokens_left")


def write_variant(models, name: str, source: str, replaced=("", ""), **parameters):
    """A model of the example with other parameters, and something else replaced in its configuration."""
    config = (MODELS / source / "config.pbtxt").read_text()
    assert replaced[0] in config
    for key, value in parameters.items():
        config = re.sub(rf'parameters {{ key: "{key}".*\n', "", config)
        config += f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}\n'
    write_model(models, name, config.replace(*replaced))
    shutil.copytree(MODELS / source / "1", models / name / "1", dirs_exist_ok=True)
    for grants in (MODELS / source).glob("plugin.toml"):
        shutil.copy(grants, models / name)


def set_padding(models, name: str, **padding):
    """Another `padding` in the tokenizer.json of a variant, and no limit, as other people's files have it."""
    path = models / name / "1/data/tokenizer.json"
    definition = json.loads(path.read_text())
    definition["padding"] |= padding
    definition["truncation"] = None
    path.write_text(json.dumps(definition))


def write_variants(models):
    # What all-MiniLM-L6-v2 says.
    write_variant(models, "tokens_file", "tokens")
    write_variant(models, "tokens_longest", "tokens", length="longest")
    for name in ("tokens_file", "tokens_longest"):
        set_padding(models, name, strategy={"Fixed": 128}, pad_to_multiple_of=None)
    write_variant(models, "tokens_fixed", "tokens", length="64", max_length="64")
    write_variant(models, "tokens_left", "tokens")
    set_padding(models, "tokens_left", direction="Left")
    write_variant(models, "tokens_end", "tokens", cut_beginning="true", max_length="6", special_tokens="false")
    write_variant(models, "tokens_prompts", "tokens", **{"prompt.query": "missing: ", "prompt.default": "the  "})
    write_variant(models, "tokens_flat", "tokens", ("dims: [ 1 ]", "dims: [ -1 ]"))
    write_variant(models, "tokens_too_short", "tokens", length="16")
    write_variant(models, "tokens_elsewhere", "tokens", tokenizer="/etc/tokenizer.json")
    write_variant(models, "prompted_embedding", "text_embedding", ('"tokens"', '"tokens_prompts"'))
    for pooling in POOLINGS:
        write_variant(models, f"pooling_{pooling}", "pooling", pooling=pooling)
        write_variant(models, f"pooling_{pooling}_raw", "pooling", pooling=pooling, normalise="false")
    write_variant(models, "pooling_halves", "pooling", ("TYPE_FP32\n    dims: [ -1, 64 ]", "TYPE_FP16\n    dims: [ -1, 64 ]"))
    write_variant(models, "pooling_unknown", "pooling", pooling="average")


@pytest.fixture(scope="module")
def embedding(binary, tmp_path_factory):
    variants = tmp_path_factory.mktemp("embedding_variants")
    write_variants(variants)
    with Server(binary, tmp_path_factory.mktemp("embedding") / "log", [MODELS, variants]) as running:
        yield running
        running.terminate()
        assert running.wait() == 0, running.log_text()[-4000:]


@pytest.fixture(params=PROTOCOLS)
def client(request, embedding):
    connected = Client(request.param, embedding)
    yield connected
    connected.close()


def column(client: Client, name: str, texts):
    encoded = [[text if isinstance(text, bytes) else text.encode()] for text in texts]
    return client.input(name, np.array(encoded, np.object_), "BYTES")


def tokens(client: Client, texts, model: str = "tokens", pairs=(), **parameters) -> dict:
    inputs = [column(client, "text", texts)] + ([column(client, "pair", pairs)] if pairs else [])
    answer = client.infer(model, *inputs, parameters=parameters or None)
    return {name: answer.as_numpy(name) for name in ROWS}


def embed(client: Client, texts, model: str = "text_embedding", **parameters) -> np.ndarray:
    return client.infer(model, column(client, "text", texts), parameters=parameters or None).as_numpy("embedding")


def encode(client: Client, rows: dict) -> np.ndarray:
    inputs = [client.input(name, rows[name], "INT64") for name in ROWS]
    return client.infer("encoder", *inputs).as_numpy("last_hidden_state")


def pool(client: Client, model: str, vectors, mask, data_type: str = "FP32") -> np.ndarray:
    inputs = [client.input("last_hidden_state", vectors, data_type), client.input("attention_mask", mask, "INT64")]
    return client.infer(model, *inputs).as_numpy("embedding")


def refusal(call) -> str:
    with pytest.raises(InferenceServerException) as refused:
        call()
    assert refused.value.status() in ("400", "StatusCode.INVALID_ARGUMENT"), refused.value
    return refused.value.message()


@pytest.mark.parametrize("case", GOLDEN["tokens"], ids=["passages", "questions", "odd", "one"])
def test_rows_are_those_of_the_library_in_python(client, case):
    rows = tokens(client, case["texts"])
    assert {name: row.tolist() for name, row in rows.items()} == {name: case[name] for name in ROWS}
    assert rows["input_ids"].shape[1] % 8 == 0, "as the file says"


def test_pairs_are_encoded_together(client):
    case = GOLDEN["pairs"]
    first, second = zip(*case["texts"])
    rows = tokens(client, first, pairs=second)
    assert {name: row.tolist() for name, row in rows.items()} == {name: case[name] for name in ROWS}
    assert rows["token_type_ids"].any()


def test_a_prompt_stands_in_front_of_every_text(client):
    asked = ["values", "", "data"]
    for parameters, prompt in (({"prompt": "query"}, "missing: "), ({}, "the  ")):
        found = tokens(client, asked, "tokens_prompts", **parameters)
        wanted = tokens(client, [prompt + text for text in asked])
        assert {name: row.tolist() for name, row in found.items()} == {name: row.tolist() for name, row in wanted.items()}
    first = tokens(client, asked, "tokens_prompts", pairs=asked, prompt="query")
    assert first["input_ids"].tolist() == tokens(client, ["missing: " + text for text in asked], pairs=asked)["input_ids"].tolist()


def test_an_ensemble_hands_the_prompt_on(client):
    found = embed(client, QUESTIONS, "prompted_embedding", prompt="query")
    np.testing.assert_array_equal(found, embed(client, ["missing: " + question for question in QUESTIONS]))


def test_a_prompt_that_is_not_there_is_told(client):
    text = refusal(lambda: tokens(client, ["values"], "tokens_prompts", prompt="passage"))
    assert "parameter 'prompt' is 'passage', expected one of: default, query" in text
    text = refusal(lambda: embed(client, ["values"], prompt="query"))
    assert "parameter 'prompt' is 'query', and this model has no prompts" in text


def test_embeddings_are_those_of_numpy(client):
    for texts, kind in ((PASSAGES, "passages"), (QUESTIONS, "questions"), (ODD, "odd")):
        found = embed(client, texts)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, GOLDEN[kind], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(embed(client, PASSAGES), axis=1), 1, atol=1e-5)


def test_the_right_passage_is_the_nearest(client):
    scores = embed(client, QUESTIONS) @ embed(client, PASSAGES).T
    assert scores.argmax(axis=1).tolist() == GOLDEN["answers"] and len(set(GOLDEN["answers"])) > 10


def test_one_text_gives_what_it_gives_among_others(client):
    texts = [*PASSAGES[:20], *ODD]
    alone = np.concatenate([embed(client, [text]) for text in texts])
    np.testing.assert_array_equal(alone, embed(client, texts))


def test_many_clients_at_once_get_their_own_answers(embedding):
    failures = []

    def drive(first: int):
        client = Client(PROTOCOLS[first % 2], embedding)
        try:
            for row in range(first, len(PASSAGES), 6):
                np.testing.assert_allclose(embed(client, PASSAGES[row : row + 2]), GOLDEN["passages"][row : row + 2], atol=1e-5)
        except BaseException as error:  # noqa: BLE001 (told in the test's own thread)
            failures.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=drive, args=[first]) for first in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


def test_padding_changes_nothing(client):
    texts = ["neural networks", *PASSAGES[:2]]
    found, lengths = [], []
    for model in LENGTHS:
        rows = tokens(client, texts, model)
        vectors = encode(client, rows)
        assert vectors[rows["attention_mask"] == 0].all(), "the model makes something of padding"
        found.append(pool(client, "pooling", vectors, rows["attention_mask"]))
        lengths.append(rows["input_ids"].shape[1])
    np.testing.assert_allclose(found[0], embed(client, texts))
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
    longest = max(map(sum, tokens(client, texts)["attention_mask"]))
    assert lengths == [-(-longest // 8) * 8, longest, 64, -(-longest // 8) * 8]


def test_rows_are_as_long_as_the_file_the_longest_text_or_a_number_says(client):
    shapes = {model: tokens(client, ["neural networks", ""], model)["attention_mask"] for model in ("tokens_file", *LENGTHS)}
    assert {model: mask.shape[1] for model, mask in shapes.items()} == {
        "tokens_file": 128, "tokens": 8, "tokens_longest": 4, "tokens_fixed": 64, "tokens_left": 8,
    }  # fmt: skip
    assert shapes["tokens_left"].tolist() == [[0] * 4 + [1] * 4, [0] * 6 + [1] * 2]
    assert shapes["tokens_longest"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]


def test_a_long_text_is_cut_where_the_settings_say(client):
    numbers = " ".join(["mean"] * 500 + ["median"])
    assert tokens(client, [numbers])["attention_mask"].sum() == 128
    (mean, median) = tokens(client, ["mean median"])["input_ids"][0, 1:3].tolist()
    assert tokens(client, [numbers])["input_ids"][0, 1:-1].tolist() == [mean] * 126
    assert tokens(client, [numbers], "tokens_end")["input_ids"][0, :6].tolist() == [mean] * 5 + [median]


def test_an_empty_text_is_an_embedding_of_zeroes(client):
    assert not embed(client, [""]).any()
    assert tokens(client, [""])["attention_mask"].sum() == 2, "its beginning and its end"


def pooled(pooling: str, vectors, mask) -> np.ndarray:
    rows = []
    for row, places in zip(vectors.astype(float), mask):
        used = row[places == 1]
        made = {"mean": np.mean, "max": np.max, "cls": lambda used, axis: used[0], "last": lambda used, axis: used[-1]}[pooling]
        rows.append(made(used, axis=0) if len(used) else np.zeros(row.shape[1]))
    return np.array(rows)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_vectors_are_pooled_as_numpy_does_it(client, pooling):
    random = np.random.default_rng(11)
    vectors = random.normal(0, 3, (5, 9, 64)).astype(np.float32)
    # Padded behind, in front, not at all, with a hole, and nothing.
    mask = np.array([[1] * 5 + [0] * 4, [0] * 3 + [1] * 6, [1] * 9, [1, 1, 0, 1, 1, 1, 0, 0, 0], [0] * 9], np.int64)
    wanted = pooled(pooling, vectors, mask)
    np.testing.assert_allclose(pool(client, f"pooling_{pooling}_raw", vectors, mask), wanted, atol=1e-5)
    wanted /= np.maximum(np.linalg.norm(wanted, axis=1, keepdims=True), 1e-12)
    np.testing.assert_allclose(pool(client, f"pooling_{pooling}", vectors, mask), wanted, atol=1e-5)


def test_half_precision_is_as_welcome(client):
    vectors = np.random.default_rng(2).normal(size=(2, 3, 64)).astype(np.float16)
    mask = np.array([[1, 1, 0], [1, 1, 1]], np.int64)
    found = pool(client, "pooling_halves", vectors, mask, "FP16")
    np.testing.assert_array_equal(found, pool(client, "pooling", vectors.astype(np.float32), mask))


def test_what_is_no_text_is_told_with_its_row(client):
    texts = ["fine", "fine", b"\xff\xfe", "fine"]
    text = refusal(lambda: client.infer("text_embedding", column(client, "text", texts)))
    assert "input 'text': encode: element 2 is not UTF-8" in text and "in ensemble 'text_embedding'" in text
    text = refusal(lambda: tokens(client, ["fine", "fine"], pairs=["fine", b"\xff"]))
    assert "inputs 'text' and 'pair': encode: element 1 is not UTF-8" in text
    np.testing.assert_allclose(embed(client, PASSAGES[:1]), GOLDEN["passages"][:1], atol=1e-5)


def test_shapes_that_do_not_fit_are_told(client):
    many = client.input("text", np.array([[b"a", b"b"]], np.object_), "BYTES")
    assert "[-1,1]" in refusal(lambda: client.infer("text_embedding", many))
    text = refusal(lambda: client.infer("tokens_flat", many))
    assert "input 'text' has shape [1, 2], expected [n, 1]: one text per row" in text
    text = refusal(lambda: pool(client, "pooling", np.zeros((1, 4, 64), np.float32), np.ones((1, 3), np.int64)))
    assert "'last_hidden_state' has shape [1, 4, 64] and 'attention_mask' [1, 3], expected [n, length, width]" in text


def test_a_model_that_gives_no_numbers_is_told(client):
    vectors = np.ones((3, 2, 64), np.float32)
    vectors[1, 0, 5] = np.nan
    text = refusal(lambda: pool(client, "pooling", vectors, np.ones((3, 2), np.int64)))
    assert "row 1: input 'last_hidden_state' is not all finite numbers" in text
    # As padding it is nothing.
    assert np.isfinite(pool(client, "pooling", vectors, np.array([[1, 1], [0, 1], [1, 1]], np.int64))).all()


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("tokens_too_short", "parameter 'length' of config.pbtxt is '16', expected at least the 128 of 'max_length'"),
        ("tokens_elsewhere", "'/etc/tokenizer.json' is in no folder that is granted"),
        ("pooling_unknown", "parameter 'pooling' of config.pbtxt is 'average', expected 'mean', 'max', 'cls' or 'last'"),
    ],
)
def test_settings_that_make_no_sense_are_told(client, model, text):
    with pytest.raises(InferenceServerException) as refused:
        if model.startswith("tokens"):
            tokens(client, ["a"], model)
        else:
            pool(client, model, np.ones((1, 1, 64), np.float32), np.ones((1, 1), np.int64))
    assert text in refused.value.message()


def test_the_example_script_ranks_its_passages(embedding):
    asked = QUESTIONS[:3]
    command = [sys.executable, FOLDER / "search.py", f"--url={embedding.http_url}", "--together=7", "--best=2", *asked]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[::3] == asked
    ranked = [line.split(maxsplit=1) for line in lines if line.startswith("    ")]
    assert [text for _, text in ranked[::2]] == [PASSAGES[line] for line in GOLDEN["answers"][:3]]
    assert all(float(best[0]) >= float(second[0]) for best, second in zip(ranked[::2], ranked[1::2]))
