"""Trains the forest of `model_repository/wine`: three kinds of wine by thirteen measurements.

    pip install scikit-learn xgboost
    python3 examples/forests/train_wine.py

Data: the set that comes with scikit-learn; one sample in five is held out. Written, and committed: `1/xgboost.json`, and
`heldout.json` beside this script with the held-out rows, their kinds, and XGBoost's own probabilities.
"""

import json
import pathlib

import numpy as np
import xgboost
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

SEED = 20
HELD_OUT_FRACTION = 0.2
ROUNDS = 12

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE.parent.parent / "model_repository/wine/1/xgboost.json"


def main():
    wine = load_wine()
    rows = wine.data.astype(np.float32)
    parts = train_test_split(rows, wine.target, test_size=HELD_OUT_FRACTION, random_state=SEED, stratify=wine.target)
    train_rows, held_out_rows, train_kinds, held_out_kinds = parts
    parameters = {"objective": "multi:softprob", "num_class": 3, "max_depth": 3, "seed": SEED, "nthread": 1}
    booster = xgboost.train(parameters, xgboost.DMatrix(train_rows, train_kinds), ROUNDS)
    MODEL.parent.mkdir(parents=True, exist_ok=True)
    booster.save_model(MODEL)
    probabilities = booster.predict(xgboost.DMatrix(held_out_rows))
    print("accuracy", (probabilities.argmax(axis=1) == held_out_kinds).mean())
    short = lambda table: [[float(f"{value:.9g}") for value in row] for row in table]  # noqa: E731
    held_out = {"rows": short(held_out_rows), "kinds": held_out_kinds.tolist(), "probabilities": short(probabilities)}
    (HERE / "heldout.json").write_text(json.dumps(held_out, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
