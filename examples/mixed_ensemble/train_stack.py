"""Trains what this example lays over the forest of `examples/tabular`: a logistic regression over the forest's probability and the
features, as scikit-learn's `StackingClassifier` does it, written as an ONNX model.

    pip install scikit-learn onnx
    python3 examples/mixed_ensemble/train_stack.py

Written, and committed: `model_repository/stack/1/model.onnx`, and `heldout.json` beside this script with what scikit-learn's own stack
says of the held-out records of `examples/tabular/heldout.json`. Refused: a forest that is not the one over there, because the
regression would not fit it.
"""

import json
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "tabular"))
import train_patients  # noqa: E402 (lies in the other example)

FOLDS = 5


def stack(features: int, scaler: StandardScaler, regression: LogisticRegression) -> onnx.ModelProto:
    """`forest` and `features` in, both classes' probabilities out. The scaler is part of the weights."""
    weights = regression.coef_[0] / scaler.scale_
    bias = regression.intercept_[0] - (weights * scaler.mean_).sum()
    constants = {
        "second": np.array([1]), "weights": weights[:, None].astype(np.float32), "bias": np.array([bias], np.float32),
        "one": np.array(1, np.float32),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        # Of two classes the second one's probability says all, as in scikit-learn.
        node("Gather", ["forest", "second"], ["fast_by_forest"], axis=1),
        node("Concat", ["fast_by_forest", "features"], ["known"], axis=1),
        node("Gemm", ["known", "weights", "bias"], ["logit"]),
        node("Sigmoid", ["logit"], ["fast"]),
        node("Sub", ["one", "fast"], ["slow"]),
        node("Concat", ["slow", "fast"], ["probabilities"], axis=1),
    ]
    value = helper.make_tensor_value_info
    inputs = [value("forest", TensorProto.FLOAT, ["n", 2]), value("features", TensorProto.FLOAT, ["n", features])]
    outputs = [value("probabilities", TensorProto.FLOAT, ["n", 2])]
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "stack", inputs, outputs, initializers)
    # Operator set and file format that all supported versions of ONNX Runtime read.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def main():
    table, kinds = train_patients.records()
    parts = train_test_split(table, kinds, test_size=0.25, random_state=train_patients.SEED, stratify=kinds)
    train, rest, train_kinds, rest_kinds = parts
    columns, forest = train_patients.pipeline()
    last = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    stacked = StackingClassifier([("forest", forest)], last, cv=FOLDS, passthrough=True)
    model = make_pipeline(columns, stacked).fit(train, train_kinds)
    features = model[:-1].transform(rest)
    served = json.loads((HERE.parent / "tabular/heldout.json").read_text())
    if not np.allclose(stacked.estimators_[0].predict_proba(features), served["probabilities"], atol=1e-12):
        raise SystemExit("the forest of examples/tabular is another one: run its train_patients.py first")
    path = HERE / "model_repository/stack/1/model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(stack(features.shape[1], *stacked.final_estimator_), path)
    held_out = {"probabilities": model.predict_proba(rest).tolist(), "accuracy": model.score(rest, rest_kinds)}
    (HERE / "heldout.json").write_text(json.dumps(held_out, separators=(",", ":")) + "\n")
    print("accuracy", held_out["accuracy"])


if __name__ == "__main__":
    main()
