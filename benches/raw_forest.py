#!/usr/bin/env python3
"""A forest's own framework alone, in process: what a model can do without a server around it.

    raw_forest.py make KIND FOLDER
    raw_forest.py run KIND FOLDER SECONDS BATCH...

KIND is `xgboost`, `lightgbm`, `random_forest` or `boosted`, the last two of scikit-learn. The first command trains a model of two classes over 28
features and writes it as the backend `fil` reads it, and as the framework does. The second has the framework predict over and
over on one thread, with its input prepared: XGBoost and LightGBM through their C interfaces, scikit-learn through Python,
which is what it has. It prints a line of JSON per batch size, as `raw_onnx` does. Needs tests/models/forests/requirements.txt.
"""
import ctypes
import json
import pathlib
import pickle
import statistics
import sys
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
FEATURES, WARMUP_RUNS = 28, 5
FLOAT32, NORMAL = 0, 0
XGBOOST_CONFIG = {
    "type": 0, "training": False, "iteration_begin": 0, "iteration_end": 0, "strict_shape": False, "cache_id": 0,
    "missing": float("nan"),
}  # fmt: skip


def data():
    from sklearn.datasets import make_classification

    x, y = make_classification(20_000, FEATURES, n_informative=20, random_state=20)
    return x.astype(np.float32), y


class Xgboost:
    """300 trees of depth 6."""

    file = "xgboost.ubj"

    def make(self, folder):
        import xgboost

        x, y = data()
        parameters = {"objective": "binary:logistic", "max_depth": 6, "nthread": 1}
        xgboost.train(parameters, xgboost.DMatrix(x, y), 300).save_model(folder / self.file)

    def predictors(self, folder):
        import xgboost

        library, config = xgboost.core._LIB, json.dumps(XGBOOST_CONFIG).encode()
        booster = xgboost.Booster({"nthread": 1}, model_file=folder / self.file)
        shape, dim, result = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64(), ctypes.POINTER(ctypes.c_float)()

        def predictor(rows):
            described = {"data": [rows.ctypes.data, True], "shape": rows.shape, "typestr": "<f4", "version": 3}
            arguments = booster.handle, json.dumps(described).encode(), config, None
            results = ctypes.byref(shape), ctypes.byref(dim), ctypes.byref(result)
            return lambda: checked(library.XGBoosterPredictFromDense(*arguments, *results))

        return predictor


class Lightgbm:
    """300 trees of 63 leaves."""

    file = "model.txt"

    def make(self, folder):
        import lightgbm

        x, y = data()
        parameters = {"objective": "binary", "num_leaves": 63, "num_threads": 1, "verbose": -1}
        lightgbm.train(parameters, lightgbm.Dataset(x, y), 300).save_model(folder / self.file)

    def predictors(self, folder):
        """A single row has an entrance of its own, the quickest that the library has."""
        import lightgbm

        library, booster = lightgbm.basic._LIB, lightgbm.Booster(model_file=folder / self.file)
        one, length, settings, options = ctypes.c_void_p(), ctypes.byref(ctypes.c_int64()), (NORMAL, 0, -1), b"num_threads=1"
        prepare = library.LGBM_BoosterPredictForMatSingleRowFastInit
        checked(prepare(booster._handle, *settings, FLOAT32, FEATURES, options, ctypes.byref(one)))

        def predictor(rows):
            result, memory = (ctypes.c_double * len(rows))(), ctypes.c_void_p(rows.ctypes.data)
            if len(rows) == 1:
                return lambda: checked(library.LGBM_BoosterPredictForMatSingleRowFast(one, memory, length, result))
            arguments = booster._handle, memory, FLOAT32, len(rows), FEATURES, 1, *settings, options, length, result
            return lambda: checked(library.LGBM_BoosterPredictForMat(*arguments))

        return predictor


class Sklearn:
    """A model of scikit-learn, written by the exporter too."""

    file = "forest.json"

    def __init__(self, model):
        self.model = model

    def make(self, folder):
        sys.path.insert(0, str(ROOT / "examples/forests"))
        import export_sklearn

        fitted = self.model().fit(*data())
        export_sklearn.export(fitted, folder / self.file)
        (folder / "fitted.pickle").write_bytes(pickle.dumps(fitted))

    def predictors(self, folder):
        fitted = pickle.loads((folder / "fitted.pickle").read_bytes())
        return lambda rows: lambda: fitted.predict_proba(rows)


def random_forest():
    """100 trees of depth 10."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(100, max_depth=10, random_state=20, n_jobs=1)


def boosted():
    """100 trees of depth 3."""
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(n_estimators=100, max_depth=3, random_state=20)


KINDS = {
    "xgboost": Xgboost(),
    "lightgbm": Lightgbm(),
    "random_forest": Sklearn(random_forest),
    "boosted": Sklearn(boosted),
}


def checked(code):
    assert code == 0, "the library failed"


def run(kind, folder, seconds, batches):
    predictor = kind.predictors(folder)
    for batch in map(int, batches):
        rows = np.random.default_rng(20).standard_normal((batch, FEATURES), dtype=np.float32)
        predict = predictor(rows)
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
        case ["make", kind, folder]:
            KINDS[kind].make(pathlib.Path(folder))
        case ["run", kind, folder, seconds, *batches]:
            run(KINDS[kind], pathlib.Path(folder), seconds, batches)
        case _:
            sys.exit(__doc__)


main()
