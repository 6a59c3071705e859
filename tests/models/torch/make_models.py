"""Trains the digits model and writes every `.pt` file of this folder, with what scikit-learn itself says about some rows.

    cargo xtask backend pytorch
    python3 -m venv /tmp/torch_models && /tmp/torch_models/bin/pip install -r tests/models/torch/requirements.txt
    /tmp/torch_models/bin/python tests/models/torch/make_models.py

Needs g++ and what `cargo xtask backend pytorch` put into `.nereid/pytorch`; PyTorch's Python side is not needed. All that is
written is committed, so that nobody needs any of this. `digits_mlp.expected.json` has held-out digits, their probabilities by
`MLPClassifier.predict_proba`, and their true labels.
"""

import json
import pathlib
import subprocess
import tempfile

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

HERE = pathlib.Path(__file__).resolve().parent
DOUBT = HERE.parents[2] / "examples/mixed_ensemble/model_repository/doubt/1/model.pt"
TORCH = HERE.parents[2] / ".nereid/pytorch"
SEED = 7
ROWS = 20


def train():
    pixels, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(pixels, labels, random_state=SEED, stratify=labels)
    model = MLPClassifier(hidden_layer_sizes=(32,), max_iter=1000, random_state=SEED)
    model.fit(train_x / 16.0, train_y)
    print("accuracy on held-out digits:", model.score(test_x / 16.0, test_y))
    return model, test_x[:ROWS], test_y[:ROWS]


def write_expected(model, rows, labels):
    document = {
        "rows": rows.tolist(),
        "probabilities": model.predict_proba(rows / 16.0).tolist(),
        "labels": [int(label) for label in labels],
    }
    (HERE / "digits_mlp.expected.json").write_text(json.dumps(document) + "\n")


def write_weights(model, path):
    tensors = {f"w{layer}": weights for layer, weights in enumerate(model.coefs_)}
    tensors |= {f"b{layer}": biases for layer, biases in enumerate(model.intercepts_)}
    with open(path, "w") as file:
        for name, tensor in tensors.items():
            tensor = np.asarray(tensor, dtype=np.float32)
            print(name, tensor.ndim, *tensor.shape, *(repr(float(value)) for value in tensor.flat), file=file)


def compile_maker(program):
    include, libraries = TORCH / "include", TORCH / "lib"
    subprocess.run(
        ["g++", "-std=c++17", "-O1", HERE / "make_models.cpp", "-o", program]
        + ["-isystem", include, "-isystem", include / "torch/csrc/api/include"]
        + [f"-L{libraries}", "-Wl,--no-as-needed", "-ltorch_cpu", "-lc10", "-Wl,--allow-shlib-undefined"]
        + [f"-Wl,-rpath,{libraries}"],
        check=True,
    )


def main():
    model, rows, labels = train()
    write_expected(model, rows, labels)
    with tempfile.TemporaryDirectory() as scratch:
        weights, program = f"{scratch}/weights", f"{scratch}/make_models"
        write_weights(model, weights)
        compile_maker(program)
        subprocess.run([program, weights, HERE], check=True)
    # The one that an example serves.
    DOUBT.parent.mkdir(parents=True, exist_ok=True)
    (HERE / "doubt.pt").replace(DOUBT)


if __name__ == "__main__":
    main()
