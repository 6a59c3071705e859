"""Trains the model of this example: vectors for the words of scikit-learn's documentation, and a tokenizer for them.

    python3 -m venv /tmp/embedding
    /tmp/embedding/bin/pip install numpy==2.4.6 onnx==1.23.2 scikit-learn==1.9.1 tokenizers==0.23.2
    /tmp/embedding/bin/python examples/embedding/train_embedding.py

Data: the descriptions of the data sets that come with scikit-learn, and what its classes and functions say of themselves, two
megabytes of English. Words that stand near each other more often than chance would have it get similar vectors: positive pointwise
mutual information, of which a singular value decomposition keeps the most. Two steps make means of vectors better embeddings, and
both lie in the vectors themselves: frequent words count for less, and what all texts have in common is taken away (Arora et al.,
"A Simple but Tough-to-Beat Baseline for Sentence Embeddings").

Written, and committed: `tokens/1/data/tokenizer.json`; `encoder/1/model.onnx`, with the inputs and the output of a BERT export; and
`golden.json` beside this script, with what the `tokenizers` library and NumPy make of `passages.txt` and of questions. Refused: a
model that does not find the right passage for every question.
"""

import collections
import inspect
import json
import pathlib
import re
import warnings

import numpy as np
import onnx
import sklearn.datasets
from onnx import TensorProto, helper, numpy_helper
from scipy.sparse import csr_array
from sklearn.utils.discovery import all_estimators, all_functions
from sklearn.utils.extmath import randomized_svd
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

HERE = pathlib.Path(__file__).resolve().parent
MODELS = HERE / "model_repository"
SPECIAL = PAD, UNKNOWN, BEGIN, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
SEED = 7
WORDS, ENDINGS, WIDTH = 3600, 400, 64
# Letters of rarer words are no letters of ours.
LETTER_COUNT_MIN = 3
TOKENS_MAX = 128
# Words on either side that count as near.
WINDOW = 8
# Rare neighbours count for less than chance has it (Levy and Goldberg).
SMOOTHING = 0.75
# Words of this frequency count half as much as rare ones.
FREQUENCY_HALF = 1e-4

# Asked of passages.txt: the question, and the line that answers it.
QUESTIONS = {
    "length of petals": 0,
    "alcohol and chemical analysis": 1,
    "is the tumor malignant": 2,
    "recognition of handwritten digits": 3,
    "pictures of people's faces": 4,
    "how does the disease of patients progress": 5,
    "what do houses cost": 6,
    "messages of newsgroups by topic": 7,
    "detecting attacks on a network": 9,
    "averaging the predictions of many trees": 12,
    "points vote for a class": 15,
    "how can I fill in missing data": 20,
    "trying all combinations of parameters": 24,
    "reduce the number of dimensions": 18,
    "true positives at different thresholds": 25,
    "neural networks": 27,
    "predictions with uncertainty": 29,
}
# What the tests ask besides: nothing, cut, unknown letters, two texts that differ in letters' case only.
ODD = ["", "  \n", "the " * 300, "Übergröße 家 🙂", "Missing Values", "missing values", "[CLS] [MASK]"]


def texts() -> list[str]:
    """Paragraphs of prose, without code and markup."""
    warnings.simplefilter("ignore")
    folder = pathlib.Path(sklearn.datasets.__file__).parent / "descr"
    documents = [path.read_text() for path in sorted(folder.glob("*.rst"))]
    documents += [inspect.getdoc(thing) or "" for _, thing in all_estimators() + all_functions()]
    paragraphs = (paragraph for document in documents for paragraph in re.split(r"\n\s*\n", document))
    found = {}
    for paragraph in paragraphs:
        lines = (line for line in paragraph.splitlines() if not re.match(r"\s*(>>>|\.\.\.|-{3,}|={3,})", line))
        text = re.sub(r":\w+:|[`*_|=~-]+", " ", " ".join(lines))
        text = re.sub(r"\s+", " ", text).strip()
        if len(text.split()) > 5:
            # Many classes say the same; once is enough.
            found[text] = None
    return list(found)


def tokenizer_of(documents: list[str]) -> Tokenizer:
    """WordPiece, as BERT has it. Neither cuts nor pads."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    counts = collections.Counter()
    for document in documents:
        pieces = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(document))
        counts.update(word for word, _ in pieces)
    ids = {token: number for number, token in enumerate(vocabulary(counts))}
    tokenizer.model = models.WordPiece(ids, unk_token=UNKNOWN)
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.post_processor = processors.BertProcessing((END, ids[END]), (BEGIN, ids[BEGIN]))
    return tokenizer


def vocabulary(counts: collections.Counter) -> list[str]:
    """Letters, the commonest words, and the commonest endings of the others. The library's own trainer would do as well, but
    decides between equally common ones differently every time."""
    letters = sorted({letter for word, count in counts.items() if count >= LETTER_COUNT_MIN for letter in word})
    words = commonest(counts, WORDS)
    known, endings = {*letters, *words}, collections.Counter()
    for word in counts.keys() - known:
        beginning = next((word[:end] for end in range(len(word) - 1, 0, -1) if word[:end] in known), "")
        endings[word[len(beginning) :]] += counts[word]
    continued = [f"##{letter}" for letter in letters] + [f"##{ending}" for ending in commonest(endings, ENDINGS)]
    return list(dict.fromkeys([*SPECIAL, *letters, *words, *continued]))


def commonest(counts: collections.Counter, most: int) -> list[str]:
    """Of equally common ones those that come first in the alphabet."""
    return sorted(counts, key=lambda text: (-counts[text], text))[:most]


def neighbours(rows: list[np.ndarray], size: int) -> csr_array:
    """How often tokens stand near each other, `[size, size]`; those next to each other count most."""
    counts = csr_array((size, size))
    for distance in range(1, WINDOW + 1):
        left = np.concatenate([row[:-distance] for row in rows if len(row) > distance])
        right = np.concatenate([row[distance:] for row in rows if len(row) > distance])
        weights = np.full(len(left), 1 / distance)
        counts += csr_array((weights, (left, right)), shape=(size, size))
    return (counts + counts.T).tocsr()


def vectors_of(counts: csr_array, frequency: np.ndarray, rows: list[np.ndarray]) -> np.ndarray:
    """A vector for each token, FP16 `[size, WIDTH]`."""
    pairs = counts.tocoo()
    row_sums, context = counts.sum(axis=1), counts.sum(axis=0) ** SMOOTHING
    chance = row_sums[pairs.row] * context[pairs.col] / context.sum()
    information = np.maximum(np.log(pairs.data / chance), 0)
    matrix = csr_array((information, (pairs.row, pairs.col)), shape=counts.shape)
    vectors, _, _ = randomized_svd(matrix, WIDTH, n_iter=10, random_state=SEED)
    vectors *= (FREQUENCY_HALF / (FREQUENCY_HALF + frequency))[:, None]
    means = np.array([vectors[row].mean(axis=0) for row in rows if len(row)])
    common = np.linalg.svd(means, full_matrices=False)[2][0]
    vectors -= np.outer(vectors @ common, common)
    vectors *= 1 / np.abs(vectors).max()
    # Special tokens say nothing, and so do those that training has not seen.
    vectors[: len(SPECIAL)] = 0
    # As of a network, what stands for padding is something; who pools must leave it out.
    vectors[0] = np.random.default_rng(SEED).normal(size=WIDTH)
    return vectors.astype(np.float16)


def encoder(vectors: np.ndarray) -> onnx.ModelProto:
    """Inputs and output are those of a BERT export. A word's vector does not depend on its neighbours here, so `attention_mask` is
    not looked at; both kinds of `token_type_ids` are worth nothing."""
    node, value = helper.make_node, helper.make_tensor_value_info
    nodes = [
        node("Gather", ["words", "input_ids"], ["halves"]),
        node("Cast", ["halves"], ["vectors"], to=TensorProto.FLOAT),
        node("Gather", ["kinds", "token_type_ids"], ["kind"]),
        node("Add", ["vectors", "kind"], ["last_hidden_state"]),
    ]
    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = [value(name, TensorProto.INT64, ["texts", "length"]) for name in names]
    output = value("last_hidden_state", TensorProto.FLOAT, ["texts", "length", vectors.shape[1]])
    constants = {"words": vectors, "kinds": np.zeros((2, vectors.shape[1]), np.float32)}
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "encoder", inputs, [output], weights)
    # Operator set and file format that all supported versions of ONNX Runtime read.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def embed(tokenizer: Tokenizer, vectors: np.ndarray, asked: list[str]) -> np.ndarray:
    """What the whole of the example must give."""
    embeddings = []
    for text in asked:
        row = tokenizer.encode(text)
        tokens = np.array(row.ids)[np.array(row.attention_mask) == 1]
        mean = vectors[tokens].astype(float).mean(axis=0)
        embeddings.append(mean / max(np.linalg.norm(mean), 1e-12))
    return np.array(embeddings)


def tokens_of(tokenizer: Tokenizer, asked: list) -> dict:
    """Rows of the `tokenizers` library itself; of pairs where `asked` has pairs."""
    encoded = tokenizer.encode_batch(asked)
    return {
        "texts": asked, "input_ids": [row.ids for row in encoded], "attention_mask": [row.attention_mask for row in encoded],
        "token_type_ids": [row.type_ids for row in encoded],
    }  # fmt: skip


def golden(tokenizer: Tokenizer, vectors: np.ndarray) -> dict:
    passages, questions = (HERE / "passages.txt").read_text().splitlines(), list(QUESTIONS)
    of_passages, of_questions = (embed(tokenizer, vectors, asked) for asked in (passages, questions))
    scores = of_questions @ of_passages.T
    for question, row in zip(questions, scores):
        if row.argmax() != QUESTIONS[question]:
            raise SystemExit(f"'{question}' finds '{passages[row.argmax()]}'")
    return {
        "tokens": [tokens_of(tokenizer, asked) for asked in (passages, questions, ODD, passages[:1])],
        "pairs": tokens_of(tokenizer, [(question, passages[line]) for question, line in QUESTIONS.items()]),
        "passages": of_passages.round(7).tolist(), "questions": of_questions.round(7).tolist(),
        "odd": embed(tokenizer, vectors, ODD).round(7).tolist(), "answers": list(QUESTIONS.values()),
    }  # fmt: skip


def main():
    documents = texts()
    tokenizer = tokenizer_of(documents)
    rows = [np.array(row.ids, int) for row in tokenizer.encode_batch(documents, add_special_tokens=False)]
    frequency = np.bincount(np.concatenate(rows), minlength=tokenizer.get_vocab_size())
    vectors = vectors_of(neighbours(rows, len(frequency)), frequency / frequency.sum(), rows)
    # As served: rows as long as the next multiple of 8, so that a dynamic batcher finds more of one length.
    tokenizer.enable_truncation(TOKENS_MAX)
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id(PAD), pad_token=PAD, pad_to_multiple_of=8)
    document = golden(tokenizer, vectors)
    for folder in ("tokens/1/data", "encoder/1"):
        (MODELS / folder).mkdir(parents=True, exist_ok=True)
    definition = json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":"))
    (MODELS / "tokens/1/data/tokenizer.json").write_text(definition + "\n")
    onnx.save(encoder(vectors), MODELS / "encoder/1/model.onnx")
    (HERE / "golden.json").write_text(json.dumps(document, separators=(",", ":")) + "\n")
    print(len(documents), "texts,", sum(map(len, rows)), "tokens; all questions find their passages")


if __name__ == "__main__":
    main()
