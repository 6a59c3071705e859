"""Trains the forest of this example: how fast diabetes will progress, by a patient's raw record.

    pip install scikit-learn
    python3 examples/tabular/train_patients.py

Data: the 442 patients of the set that comes with scikit-learn (`load_diabetes`, unscaled). It has ages; here a record has dates of
birth and of the examination that make up that age. `sex` is the set's own code, as a text. Of every field some are blanked. One
patient in four is held out. `fast` is above the median of the disease's progression within a year.

Written, and committed: `features/1/data/features.json`, the fitted steps of the pipeline as the plugin reads them;
`forest/1/forest.json`; and `heldout.json` beside this script: held-out records, and what scikit-learn's own pipeline makes of them.
"""

import datetime
import json
import pathlib
import sys

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "forests"))
import export_sklearn  # noqa: E402 (lies in the other example)

MODELS = HERE / "model_repository"
SEED = 7
BLANKED_FRACTION = 0.06
# Columns of a record.
SEX, BORN, EXAMINED, FIRST_MEASUREMENT = 0, 1, 2, 3
MEASUREMENTS = ("bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
KINDS = ("slow", "fast")


def records():
    """Raw records `[442, 11]` of texts and numbers, and the class of each."""
    data = load_diabetes(scaled=False)
    random = np.random.default_rng(SEED)
    table = np.empty((len(data.data), FIRST_MEASUREMENT + len(MEASUREMENTS)), object)
    for row, (age, sex, *measured) in enumerate(data.data):
        examined = datetime.date(2023, 1, 1) + datetime.timedelta(days=int(random.integers(365)))
        born = examined - datetime.timedelta(days=int(age * 365.25 + random.integers(365)))
        table[row] = [str(int(sex)), born.isoformat(), examined.isoformat(), *measured]
    blanked = random.random(table.shape) < BLANKED_FRACTION
    table[:, :FIRST_MEASUREMENT][blanked[:, :FIRST_MEASUREMENT]] = ""
    table[:, FIRST_MEASUREMENT:][blanked[:, FIRST_MEASUREMENT:]] = np.nan
    return table, (data.target > np.median(data.target)).astype(int)


def years(pairs):
    """Years between two columns of dates; NaN where one is missing."""
    days = np.where(pairs == "", "NaT", pairs).astype("datetime64[D]")
    return ((days[:, 1] - days[:, 0]) / np.timedelta64(1, "D") / 365.25)[:, None]


def numbers(columns):
    return columns.astype(float)


def pipeline():
    age = make_pipeline(FunctionTransformer(years), SimpleImputer(strategy="median"))
    blank = SimpleImputer(missing_values="", strategy="constant", fill_value="missing")
    category = make_pipeline(blank, OneHotEncoder(handle_unknown="ignore", sparse_output=False))
    measured = make_pipeline(FunctionTransformer(numbers), SimpleImputer(strategy="median", add_indicator=True))
    columns = [
        ("age", age, [BORN, EXAMINED]),
        ("sex", category, [SEX]),
        ("measured", measured, slice(FIRST_MEASUREMENT, None)),
    ]
    forest = RandomForestClassifier(60, min_samples_leaf=6, random_state=SEED)
    return make_pipeline(ColumnTransformer(columns), forest)


def specification(columns: ColumnTransformer) -> dict:
    """The fitted steps as `plugins/record_features/features.py` reads them, in the order of their features."""
    fitted = columns.named_transformers_
    age, measured = fitted["age"][-1], fitted["measured"][-1]
    found = [{"kind": "years", "from": "born", "to": "examined", "fill": age.statistics_[0]}]
    for category in fitted["sex"][-1].categories_[0]:
        found.append({"kind": "category", "input": "sex", "equals": category, "fill": "missing"})
    for column, median in enumerate(measured.statistics_):
        found.append({"kind": "number", "input": "measurements", "column": column, "fill": median})
    for column in measured.indicator_.features_:
        found.append({"kind": "missing", "input": "measurements", "column": int(column)})
    return {"columns": found}


def held_out(model, table, kinds) -> dict:
    measured = [[None if np.isnan(value) else value for value in row] for row in table[:, FIRST_MEASUREMENT:].astype(float)]
    return {
        "sex": table[:, SEX].tolist(), "born": table[:, BORN].tolist(), "examined": table[:, EXAMINED].tolist(),
        "measurements": measured, "kinds": [KINDS[kind] for kind in kinds],
        "features": model[:-1].transform(table).astype(np.float32).tolist(),
        "probabilities": model.predict_proba(table).tolist(),
    }  # fmt: skip


def main():
    table, kinds = records()
    train, rest, train_kinds, rest_kinds = train_test_split(table, kinds, test_size=0.25, random_state=SEED, stratify=kinds)
    model = pipeline().fit(train, train_kinds)
    (MODELS / "forest/1").mkdir(parents=True, exist_ok=True)
    (MODELS / "features/1/data").mkdir(parents=True, exist_ok=True)
    export_sklearn.export(model[-1], MODELS / "forest/1/forest.json")
    document = specification(model[0])
    (MODELS / "features/1/data/features.json").write_text(json.dumps(document, indent=1) + "\n")
    (HERE / "heldout.json").write_text(json.dumps(held_out(model, rest, rest_kinds), separators=(",", ":")) + "\n")
    print(len(document["columns"]), "features, accuracy", model.score(rest, rest_kinds))


if __name__ == "__main__":
    main()
