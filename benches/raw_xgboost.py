#!/usr/bin/env python3
"""XGBoost alone, in process: what a model can do without a server around it.

    raw_xgboost.py make FILE
    raw_xgboost.py run FILE SECONDS BATCH...

The first trains 300 trees of depth 6 over 28 features and writes them as UBJSON. The second has them predict over and over on
one thread, through XGBoost's C interface with its input prepared, and prints a line of JSON per batch size, as `raw_onnx` does.
Needs `xgboost` and scikit-learn: tests/models/forests/requirements.txt.
"""
import ctypes
import json
import statistics
import sys
import time

import numpy as np
import xgboost

FEATURES, WARMUP_RUNS = 28, 5
CONFIG = {"type": 0, "training": False, "iteration_begin": 0, "iteration_end": 0, "strict_shape": False, "cache_id": 0}


def make(file):
    from sklearn.datasets import make_classification

    x, y = make_classification(20_000, FEATURES, n_informative=20, random_state=20)
    parameters = {"objective": "binary:logistic", "max_depth": 6, "nthread": 1}
    xgboost.train(parameters, xgboost.DMatrix(x.astype(np.float32), y), 300).save_model(file)


def predictor(booster, rows):
    library, config = xgboost.core._LIB, json.dumps(CONFIG | {"missing": float("nan")}).encode()
    interface = json.dumps({"data": [rows.ctypes.data, True], "shape": rows.shape, "typestr": "<f4", "version": 3}).encode()
    shape, dim, result = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64(), ctypes.POINTER(ctypes.c_float)()

    def predict():
        outcome = library.XGBoosterPredictFromDense(
            booster.handle, interface, config, None, ctypes.byref(shape), ctypes.byref(dim), ctypes.byref(result)
        )
        assert outcome == 0, "XGBoost failed"

    return predict


def run(file, seconds, batches):
    booster = xgboost.Booster({"nthread": 1}, model_file=file)
    for batch in map(int, batches):
        rows = np.random.default_rng(20).standard_normal((batch, FEATURES), dtype=np.float32)
        predict = predictor(booster, rows)
        for _ in range(WARMUP_RUNS):
            predict()
        runs, spent, start = [], time.process_time(), time.perf_counter()
        while (begun := time.perf_counter()) - start < float(seconds):
            predict()
            runs.append(time.perf_counter() - begun)
        elapsed, spent = time.perf_counter() - start, time.process_time() - spent
        done = len(runs) * batch
        found = {"threads": 1, "batch": batch, "rows_per_second": done / elapsed}
        print(json.dumps(found | {"milliseconds": statistics.median(runs) * 1e3, "cpu_us_per_row": spent / done * 1e6}), flush=True)


def main():
    match sys.argv[1:]:
        case ["make", file]:
            make(file)
        case ["run", file, seconds, *batches]:
            run(file, seconds, batches)
        case _:
            sys.exit(__doc__)


main()
