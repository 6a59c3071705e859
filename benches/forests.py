#!/usr/bin/env python3
"""Forests beside the predictors of their own frameworks, in process, one thread: see backends.md for the command.

Both sides are given prepared memory through C: XGBoost's `XGBoosterPredictFromDense`, LightGBM's `…SingleRowFast` and
`…PredictForMat`, ours through `host/forest/examples/predictor.rs`. scikit-learn has Python only. Processor time of the
thread, the quickest of several repeats, ours and theirs in turn.
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
import xgboost
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples/forests"))
import export_sklearn  # noqa: E402

PREDICTOR = ROOT / "target/release/examples/predictor"
FEATURES, ROWS, REPEATS, REPEAT_SECONDS = 28, 1000, 7, 0.25
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


def lightgbm_predictors(booster, rows):
    library, length, out = lightgbm.basic._LIB, ctypes.c_int64(), np.zeros(len(rows))
    fast = ctypes.c_void_p()
    parameters = b"num_threads=1"
    checked(library.LGBM_BoosterPredictForMatSingleRowFastInit(booster._handle, NORMAL, 0, -1, FLOAT32, FEATURES, parameters,
                                                               ctypes.byref(fast)))
    pointer = out.ctypes.data_as(ctypes.POINTER(ctypes.c_double))

    def one(row):
        data = ctypes.c_void_p(row.ctypes.data)
        return lambda: checked(library.LGBM_BoosterPredictForMatSingleRowFast(fast, data, ctypes.byref(length), pointer))

    def many():
        checked(library.LGBM_BoosterPredictForMat(booster._handle, ctypes.c_void_p(rows.ctypes.data), FLOAT32, len(rows), FEATURES,
                                                  1, NORMAL, 0, -1, parameters, ctypes.byref(length), pointer))

    return one, many


def ours(model_type, file, folder):
    output = subprocess.run([PREDICTOR, model_type, file, folder / "rows", str(FEATURES)], capture_output=True, text=True, check=True)
    first, *scores = output.stdout.split("\n")
    return *map(float, first.split()), np.array([float(score) for score in scores if score])


def in_turn(calls):
    """One function that makes one call after the other, so that the branch predictor does not learn a row."""

    def work():
        for call in calls:
            call()

    return work


def report(name, theirs, ours_one, ours_many, difference):
    for batch, their, our in ((1, theirs[0], ours_one), (ROWS, theirs[1], ours_many)):
        print(f"| {name} | {batch} | {their:.2f} | {our:.2f} | {their / our:.1f} | {difference:.0e} |", flush=True)


def main():
    x, y = make_classification(20_000, FEATURES, n_informative=20, random_state=20)
    x = x.astype(np.float32)
    with_gaps = np.where(np.random.default_rng(20).random(x.shape) < 0.02, np.float32(np.nan), x)
    rows = np.ascontiguousarray(with_gaps[:ROWS])
    print("| model | batch | framework µs/row | ours µs/row | ratio | largest difference |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "rows").write_bytes(rows.tobytes())

        parameters = {"objective": "binary:logistic", "max_depth": 6, "nthread": 2}
        booster = xgboost.train(parameters, xgboost.DMatrix(with_gaps, y), 300)
        booster.save_model(folder / "xgboost.ubj")
        one, many, scores = ours("xgboost_ubj", folder / "xgboost.ubj", folder)
        predictor = xgboost_predictor(booster)
        theirs = quickest(in_turn([predictor(rows[at : at + 1]) for at in range(100)]), 100), quickest(predictor(rows), ROWS)
        expected = booster.inplace_predict(rows)
        report("XGBoost, 300 trees of depth 6", theirs, one, many, np.abs(scores - expected).max())

        parameters = {"objective": "binary", "num_leaves": 63, "num_threads": 2, "verbose": -1}
        booster = lightgbm.train(parameters, lightgbm.Dataset(with_gaps, y), 300)
        booster.save_model(folder / "model.txt")
        one, many, scores = ours("lightgbm", folder / "model.txt", folder)
        single, together = lightgbm_predictors(booster, rows)
        theirs = quickest(in_turn([single(row) for row in rows]), ROWS), quickest(together, ROWS)
        report("LightGBM, 300 trees of 63 leaves", theirs, one, many, np.abs(scores - booster.predict(rows)).max())

        forest = RandomForestClassifier(100, max_depth=10, random_state=20, n_jobs=2).fit(x, y)
        forest.n_jobs = 1
        plain = np.ascontiguousarray(x[:ROWS])
        (folder / "rows").write_bytes(plain.tobytes())
        export_sklearn.export(forest, folder / "forest.json")
        one, many, scores = ours("nereid_forest", folder / "forest.json", folder)
        single = in_turn([lambda row=row: forest.predict_proba(row) for row in (plain[at : at + 1] for at in range(20))])
        theirs = quickest(single, 20), quickest(lambda: forest.predict_proba(plain), ROWS)
        report("scikit-learn (Python), 100 trees of depth 10", theirs, one, many,
               np.abs(scores - forest.predict_proba(plain).ravel()).max())


main()
