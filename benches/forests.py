#!/usr/bin/env python3
"""Forests beside the predictors of their own frameworks, in process, one thread: see backends.md for the command.

Both sides are given prepared memory through C: XGBoost's `XGBoosterPredictFromDense`, LightGBM's `…SingleRowFast` and
`…PredictForMat`, ours through `host/forest/examples/predictor.rs`. scikit-learn has Python only. Processor time of the
thread, the quickest of several repeats.
"""

import ctypes
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import lightgbm
import numpy as np
import sklearn
import xgboost
from sklearn.datasets import make_classification
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples/forests"))
import export_sklearn  # noqa: E402

PREDICTOR = ROOT / "target/release/examples/predictor"
FEATURES, ROWS, BATCHES, REPEATS, REPEAT_SECONDS = 28, 1000, (1, 8, 64, 1000), 7, 0.25
FLOAT32 = 0
NORMAL = 0


def quickest(work, rows_per_call) -> float:
    """Microseconds per row."""
    best = float("inf")
    for _ in range(REPEATS):
        end, before, done = time.monotonic() + REPEAT_SECONDS, time.thread_time(), 0
        while time.monotonic() < end:
            work()
            done += rows_per_call
        best = min(best, (time.thread_time() - before) * 1e6 / done)
    return best


def checked(code):
    assert code == 0, "the library failed"


def xgboost_predictor(booster):
    """A function of a matrix of rows."""
    library = xgboost.core._LIB
    booster.set_param({"nthread": 1})
    config = json.dumps({"type": 0, "training": False, "iteration_begin": 0, "iteration_end": 0, "strict_shape": False,
                         "missing": float("nan"), "cache_id": 0}).encode()
    shape, dim, result = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64(), ctypes.POINTER(ctypes.c_float)()

    def predictor(rows):
        interface = json.dumps({"data": [rows.ctypes.data, True], "shape": rows.shape, "typestr": "<f4", "version": 3}).encode()

        def predict():
            checked(library.XGBoosterPredictFromDense(booster.handle, interface, config, None, ctypes.byref(shape),
                                                      ctypes.byref(dim), ctypes.byref(result)))
            return result

        return predict

    return predictor


def lightgbm_predictor(booster):
    """A function of a matrix of rows; a single row has an entrance of its own, the quickest that the library has."""
    library, length, parameters = lightgbm.basic._LIB, ctypes.c_int64(), b"num_threads=1"
    fast = ctypes.c_void_p()
    checked(library.LGBM_BoosterPredictForMatSingleRowFastInit(booster._handle, NORMAL, 0, -1, FLOAT32, FEATURES, parameters,
                                                               ctypes.byref(fast)))

    def predictor(rows):
        result = (ctypes.c_double * len(rows))()
        data = ctypes.c_void_p(rows.ctypes.data)
        if len(rows) == 1:
            return lambda: checked(library.LGBM_BoosterPredictForMatSingleRowFast(fast, data, ctypes.byref(length), result))
        return lambda: checked(library.LGBM_BoosterPredictForMat(booster._handle, data, FLOAT32, len(rows), FEATURES, 1, NORMAL, 0,
                                                                 -1, parameters, ctypes.byref(length), result))

    return predictor


def ours(model_type, file, rows):
    """Microseconds per row for each size of batch, and the scores."""
    (file.parent / "rows").write_bytes(rows.tobytes())
    batches = map(str, BATCHES)
    output = subprocess.run([PREDICTOR, model_type, file, file.parent / "rows", str(FEATURES), *batches], capture_output=True,
                            text=True, check=True)
    first, *scores = output.stdout.split("\n")
    return list(map(float, first.split())), np.array([float(score) for score in scores if score])


def theirs(predictor, rows, rows_max):
    """Microseconds per row for each size of batch. All rows in turn, or as many of them as `rows_max`, so that the branch
    predictor does not learn some of them."""
    times = []
    for batch in BATCHES:
        count = max(min(rows_max, ROWS) // batch, 1)
        calls = [predictor(rows[at * batch : (at + 1) * batch]) for at in range(count)]

        def work():
            for call in calls:
                call()

        times.append(quickest(work, count * batch))
    return times


def report(name, file, model_type, rows, predictor, expected, rows_max=ROWS):
    our_times, scores = ours(model_type, file, rows)
    difference = np.abs(scores - expected).max()
    for batch, their, our in zip(BATCHES, theirs(predictor, rows, rows_max), our_times):
        print(f"| {name} | {batch} | {their:.2f} | {our:.2f} | {their / our:.1f} | {difference:.0e} |", flush=True)


def main():
    x, y = make_classification(20_000, FEATURES, n_informative=20, random_state=20)
    x = x.astype(np.float32)
    with_gaps = np.where(np.random.default_rng(20).random(x.shape) < 0.02, np.float32(np.nan), x)
    rows, plain = np.ascontiguousarray(with_gaps[:ROWS]), np.ascontiguousarray(x[:ROWS])
    print("| model | batch | framework µs/row | ours µs/row | ratio | largest difference |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)

        parameters = {"objective": "binary:logistic", "max_depth": 6, "nthread": 2}
        booster = xgboost.train(parameters, xgboost.DMatrix(with_gaps, y), 300)
        booster.save_model(folder / "xgboost.ubj")
        report(f"XGBoost {xgboost.__version__}, 300 trees of depth 6", folder / "xgboost.ubj", "xgboost_ubj", rows,
               xgboost_predictor(booster), booster.inplace_predict(rows))

        for leaves in (31, 63, 255):
            parameters = {"objective": "binary", "num_leaves": leaves, "num_threads": 1, "verbose": -1}
            booster = lightgbm.train(parameters, lightgbm.Dataset(with_gaps, y), 300)
            booster.save_model(folder / "model.txt")
            report(f"LightGBM {lightgbm.__version__}, 300 trees of {leaves} leaves", folder / "model.txt", "lightgbm", rows,
                   lightgbm_predictor(booster), booster.predict(rows))

        forest = RandomForestClassifier(100, max_depth=10, random_state=20, n_jobs=2).fit(x, y)
        forest.n_jobs = 1
        export_sklearn.export(forest, folder / "forest.json")
        report(f"scikit-learn {sklearn.__version__} (Python), random forest, 100 trees of depth 10", folder / "forest.json",
               "nereid_forest", plain, lambda rows: lambda: forest.predict_proba(rows), forest.predict_proba(plain).ravel(), 20)

        boosted = GradientBoostingClassifier(n_estimators=100, max_depth=3, random_state=20).fit(x, y)
        export_sklearn.export(boosted, folder / "boosted.json")
        report(f"scikit-learn {sklearn.__version__} (Python), gradient boosting, 100 trees of depth 3", folder / "boosted.json",
               "nereid_forest", plain, lambda rows: lambda: boosted.predict_proba(rows), boosted.predict_proba(plain)[:, 1], 20)


main()
