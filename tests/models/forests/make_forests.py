"""Trains the small forests that the tests read, and writes what the frameworks themselves say about some rows.

    python3 -m venv /tmp/forests && /tmp/forests/bin/pip install -r tests/models/forests/requirements.txt
    /tmp/forests/bin/python tests/models/forests/make_forests.py

Data: the sets that come with scikit-learn. Written beside this file, all of it committed, so that nobody needs the frameworks:

* one model file per case, in the framework's own format (or the one of `examples/forests/export_sklearn.py`);
* `NAME.expected.json`: rows of 32-bit floats, `null` for a missing one; scores; SHAP values where the framework has them.

Rows are held-out samples, samples with features taken away, and samples whose features lie exactly on, just above and
just below thresholds, where a wrong comparison shows.
"""

import json
import pathlib
import sys

import lightgbm
import numpy as np
import shap
import treelite
import xgboost
from sklearn import datasets, ensemble, tree

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "examples/forests"))
import export_sklearn  # noqa: E402

SEED = 20
ROWS = 10


def f32(values) -> np.ndarray:
    return np.asarray(values, dtype=np.float32)


def breast_cancer():
    x, y = datasets.load_breast_cancer(return_X_y=True)
    return f32(x[:, :12]), y


def wine():
    x, y = datasets.load_wine(return_X_y=True)
    return f32(x), y


def diabetes():
    x, y = datasets.load_diabetes(return_X_y=True)
    return f32(x * 10), f32(y)


def with_gaps(x, share=0.15):
    holes = np.random.default_rng(SEED).random(x.shape) < share
    return np.where(holes, np.float32(np.nan), x)


def with_categories(x, column=1, count=40):
    """A category that says something about another column, over more words than one."""
    x = x.copy()
    random = np.random.default_rng(SEED)
    ranks = np.argsort(np.argsort(x[:, 2])) * count // len(x)
    x[:, column] = (ranks * 7 + random.integers(0, 3, len(x))) % count
    return x


def rows_for(x, thresholds, missing=True, exact=()):
    """Samples; samples with gaps; and samples moved onto thresholds, given as (feature, threshold)."""
    random = np.random.default_rng(SEED + 1)
    plain = x[random.choice(len(x), ROWS, replace=False)].copy()
    rows = [plain]
    if missing:
        gaps = plain[:4].copy()
        gaps[random.random(gaps.shape) < 0.4] = np.nan
        rows.append(gaps)
    # scikit-learn tells the missing from all others with an infinite one.
    chosen = [thresholds[index] for index in random.permutation(len(thresholds)) if np.isfinite(thresholds[index][1])]
    moved = plain[:6].copy()
    for place, (feature, threshold) in enumerate(chosen[: 6 * x.shape[1]]):
        at = np.float32(threshold)
        moved[place % 6, feature] = [at, np.nextafter(at, np.float32(np.inf)), np.nextafter(at, np.float32(-np.inf))][place % 3]
    rows.append(moved)
    rows += [f32(exact)] if len(exact) else []
    return np.concatenate(rows)


def write(name, model_type, rows, scores, contributions=None, tolerance=1e-6):
    """`contributions`: per row, output by output, the features' shares and the expected value."""
    # Nine digits are a 32-bit float, and more than the tolerance.
    short = lambda value: None if np.isnan(value) else float(f"{value:.9g}")  # noqa: E731
    table = lambda values: [[short(value) for value in row] for row in np.asarray(values).reshape(len(rows), -1)]  # noqa: E731
    document = {"model_type": model_type, "rows": table(f32(rows)), "scores": table(scores)}
    if contributions is not None:
        document["shap"] = table(contributions)
        document["shap_tolerance"] = tolerance
    (HERE / f"{name}.expected.json").write_text(json.dumps(document, separators=(",", ":")) + "\n")


# XGBoost


def xgboost_thresholds(booster):
    found = []
    for tree in json.loads(booster.save_raw("json"))["learner"]["gradient_booster"].get("model", {}).get("trees", []):
        nodes = zip(tree["left_children"], tree["split_indices"], tree["split_conditions"], tree["split_type"])
        found += [(feature, at) for left, feature, at, kind in nodes if left != -1 and kind == 0]
    return found


def xgboost_case(name, x, y, rounds, ending="json", types=None, group=None, explained=True, exact=(), **parameters):
    matrix = xgboost.DMatrix(x, y, feature_types=types, enable_categorical=bool(types))
    if group is not None:
        matrix.set_group(group)
    booster = xgboost.train({"seed": SEED, "nthread": 1} | parameters, matrix, rounds)
    booster.save_model(HERE / f"{name}.{ending}")
    rows = rows_for(x, xgboost_thresholds(booster), exact=exact)
    asked = xgboost.DMatrix(rows, feature_types=types, enable_categorical=bool(types))
    scores = booster.predict(asked, strict_shape=True)
    if parameters.get("objective") == "multi:softmax":
        scores = np.exp(booster.predict(asked, output_margin=True))
        scores /= scores.sum(axis=1, keepdims=True)
    # XGBoost sums its SHAP values in 32-bit floats.
    contributions = booster.predict(asked, pred_contribs=True, strict_shape=True) if explained else None
    write(name, "xgboost_ubj" if ending == "ubj" else "xgboost_json", rows, scores, contributions, tolerance=2e-5)
    return booster


def xgboost_cases():
    cancer, cancer_y = breast_cancer()
    x, y = diabetes()
    classes, classes_y = wine()
    small = {"max_depth": 3, "tree_method": "hist"}
    xgboost_case("xgb_binary", with_gaps(cancer), cancer_y, 12, objective="binary:logistic", **small)
    xgboost_case("xgb_regression", with_gaps(x), y, 12, "ubj", objective="reg:squarederror", **small)
    xgboost_case("xgb_classes", with_gaps(classes), classes_y, 4, "ubj", objective="multi:softprob", num_class=3, **small)
    xgboost_case("xgb_softmax", classes, classes_y, 3, objective="multi:softmax", num_class=3, base_score=0.5, **small)
    xgboost_case("xgb_dart", x, y, 8, booster="dart", rate_drop=0.3, explained=False, **small)
    types = ["q", "c"] + ["q"] * (x.shape[1] - 2)
    odd = [[0.1, category] + [0.1] * (x.shape[1] - 2) for category in (-0.5, -3, 7.9, 39, 40, 64, 1000, 1e8, np.nan)]
    categories = with_categories(x)
    options = small | {"types": types, "exact": odd, "explained": False}
    xgboost_case("xgb_categories", with_gaps(categories, 0.05), y, 8, max_cat_to_onehot=1, **options)
    xgboost_case("xgb_one_hot", with_categories(x, count=5), y, 6, "ubj", max_cat_to_onehot=10, **options)
    targets = np.stack([y, y * 0.5 + x[:, 2] * 20, -y], axis=1)
    xgboost_case("xgb_targets", x, targets, 4, **small)
    vectors = {"multi_strategy": "multi_output_tree", "explained": False}
    xgboost_case("xgb_vectors", x, targets, 4, **small, **vectors)
    xgboost_case("xgb_vectors_binary", x, (targets > 100).astype(int), 4, "ubj", objective="binary:logistic", **small, **vectors)
    xgboost_case("xgb_poisson", x, y, 6, objective="count:poisson", **small)
    xgboost_case("xgb_gamma", x, y, 6, objective="reg:gamma", base_score=120.0, **small)
    xgboost_case("xgb_hinge", cancer, cancer_y, 4, objective="binary:hinge", **small)
    xgboost_case("xgb_logitraw", cancer, cancer_y, 4, objective="binary:logitraw", base_score=0.7, **small)
    xgboost_case("xgb_rank", x, (y // 50).astype(int), 6, objective="rank:ndcg", group=[len(y) // 2, len(y) - len(y) // 2], **small)
    xgboost_case("xgb_cox", x, y, 4, objective="survival:cox", **small)
    forest = {"num_parallel_tree": 10, "subsample": 0.7, "colsample_bynode": 0.7, "learning_rate": 1.0}
    xgboost_case("xgb_forest", x, y, 1, **small, **forest)
    deep = {"grow_policy": "lossguide", "max_leaves": 60, "max_depth": 0, "min_child_weight": 0}
    xgboost_case("xgb_deep", x, y, 2, "ubj", tree_method="hist", **deep)
    xgboost_case("xgb_pruned", x, y, 4, tree_method="exact", gamma=20000, max_depth=5)


# LightGBM


def lightgbm_thresholds(booster):
    frame = booster.trees_to_dataframe()
    frame = frame[(frame.decision_type == "<=") & frame.split_feature.notna()]
    places = {name: place for place, name in enumerate(booster.feature_name())}
    return [(places[feature], float(at)) for feature, at in zip(frame.split_feature, frame.threshold)]


def lightgbm_case(name, x, y, rounds, categories=(), group=None, exact=(), **parameters):
    parameters = {"seed": SEED, "num_threads": 1, "verbose": -1, "num_leaves": 8, "min_data_in_leaf": 10} | parameters
    data = lightgbm.Dataset(x, y, group=group, categorical_feature=list(categories))
    booster = lightgbm.train(parameters, data, rounds)
    booster.save_model(HERE / f"{name}.txt")
    # As the server does it: from the file.
    booster = lightgbm.Booster(model_file=HERE / f"{name}.txt")
    rows = rows_for(x, lightgbm_thresholds(booster), exact=exact)
    contributions = booster.predict(rows, pred_contrib=True)
    if parameters.get("boosting") == "rf":
        # LightGBM averages the scores of a forest, but not what accounts for them.
        contributions = contributions / rounds
    write(name, "lightgbm", rows, booster.predict(rows), contributions)


def lightgbm_cases():
    cancer, cancer_y = breast_cancer()
    x, y = diabetes()
    classes, classes_y = wine()
    zeros = np.where(np.random.default_rng(SEED).random(x.shape) < 0.3, np.float32(0), x)
    small = [[value] * x.shape[1] for value in (0.0, -0.0, 1e-35, -1e-35, 2e-35, 1e-36, np.nan)]
    lightgbm_case("lgb_binary", with_gaps(cancer), cancer_y, 8, objective="binary", sigmoid=1.5)
    lightgbm_case("lgb_regression", x, y, 8, objective="regression", exact=small)
    lightgbm_case("lgb_zero", zeros, y, 8, objective="regression", zero_as_missing=True, exact=small)
    lightgbm_case("lgb_no_missing", x, y, 6, objective="regression", use_missing=False, exact=small)
    lightgbm_case("lgb_classes", with_gaps(classes), classes_y, 3, objective="multiclass", num_class=3)
    lightgbm_case("lgb_one_against_all", classes, classes_y, 3, objective="multiclassova", num_class=3)
    odd = [[0.1, category] + [0.1] * (x.shape[1] - 2) for category in (-0.5, -3, 7.9, 39, 40, 64, 1000, np.nan)]
    sets = {"categories": [1], "min_data_per_group": 5, "cat_smooth": 1, "max_cat_to_onehot": 1}
    lightgbm_case("lgb_categories", with_gaps(with_categories(x), 0.05), y, 8, exact=odd, objective="regression", **sets)
    bagging = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6, "feature_fraction": 0.7}
    lightgbm_case("lgb_forest", cancer, cancer_y, 8, objective="binary", **bagging)
    lightgbm_case("lgb_forest_classes", classes, classes_y, 4, objective="multiclass", num_class=3, **bagging)
    lightgbm_case("lgb_dart", x, y, 8, objective="regression", boosting="dart")
    lightgbm_case("lgb_sqrt", x, y, 6, objective="regression", reg_sqrt=True)
    lightgbm_case("lgb_poisson", x, y, 6, objective="poisson")
    lightgbm_case("lgb_cross_entropy", cancer, cancer_y, 5, objective="cross_entropy")
    lightgbm_case("lgb_cross_entropy_lambda", cancer, cancer_y, 5, objective="cross_entropy_lambda")
    groups = [len(y) // 2, len(y) - len(y) // 2]
    lightgbm_case("lgb_rank", x, (y // 50).astype(int), 5, objective="lambdarank", group=groups)


# scikit-learn, through the exporter


def sklearn_thresholds(model):
    if hasattr(model, "_predictors"):
        nodes = np.concatenate([predictor.nodes for stage in model._predictors for predictor in stage])
        nodes = nodes[(nodes["is_leaf"] == 0) & (nodes["is_categorical"] == 0)]
        columns, _ = export_sklearn.columns_of(model)
        return [(columns[place], at) for place, at in zip(nodes["feature_idx"], nodes["num_threshold"])]
    estimators = np.ravel(getattr(model, "estimators_", [model]))
    columns = getattr(model, "estimators_features_", [range(model.n_features_in_)] * len(estimators))
    return [
        (columns[feature], at)
        for estimator, columns in zip(estimators, columns, strict=True)
        for feature, at in zip(estimator.tree_.feature, estimator.tree_.threshold)
        if feature >= 0
    ]


def sklearn_scores(model, rows):
    if isinstance(model, export_sklearn.ISOLATION):
        return -model.score_samples(rows)
    if not hasattr(model, "predict_proba"):
        return model.predict(rows)
    scores = model.predict_proba(rows)
    is_boosted = isinstance(model, export_sklearn.BOOSTED + export_sklearn.HISTOGRAM)
    return scores[:, 1] if is_boosted and scores.shape[1] == 2 else scores


def sklearn_case(name, model, x, y, missing=False, explained=True, exact=()):
    model.fit(x, y)
    export_sklearn.export(model, HERE / f"{name}.forest.json")
    rows = rows_for(x, sklearn_thresholds(model), missing=missing, exact=exact)
    contributions = None
    if explained:
        explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
        values = np.asarray(explainer.shap_values(rows, check_additivity=False))
        values = values[:, :, None] if values.ndim == 2 else values
        expected = np.broadcast_to(np.ravel(explainer.expected_value), (len(rows), 1, values.shape[2]))
        contributions = np.concatenate([values, expected], axis=1).transpose(0, 2, 1)
    write(name, "nereid_forest", rows, sklearn_scores(model, rows), contributions)


def sklearn_cases():
    cancer, cancer_y = breast_cancer()
    x, y = diabetes()
    classes, classes_y = wine()
    small = {"n_estimators": 6, "max_depth": 4, "random_state": SEED}
    sklearn_case("skl_tree", tree.DecisionTreeRegressor(max_depth=4, random_state=SEED), x, y)
    sklearn_case("skl_forest", ensemble.RandomForestClassifier(**small), with_gaps(classes), classes_y, missing=True)
    sklearn_case("skl_forest_binary", ensemble.RandomForestClassifier(**small), cancer, cancer_y)
    targets = np.stack([y, y * 0.5 + x[:, 2] * 20], axis=1)
    sklearn_case("skl_forest_targets", ensemble.RandomForestRegressor(**small), x, targets, explained=False)
    sklearn_case("skl_extra", ensemble.ExtraTreesRegressor(**small), x, y)
    boosted = {"n_estimators": 8, "max_depth": 3, "random_state": SEED}
    sklearn_case("skl_boosted", ensemble.GradientBoostingRegressor(**boosted), x, y)
    sklearn_case("skl_boosted_binary", ensemble.GradientBoostingClassifier(**boosted), cancer, cancer_y)
    sklearn_case(
        "skl_boosted_exponential",
        ensemble.GradientBoostingClassifier(loss="exponential", **boosted),
        cancer,
        cancer_y,
        explained=False,
    )
    boosted["n_estimators"] = 3
    sklearn_case("skl_boosted_classes", ensemble.GradientBoostingClassifier(**boosted), classes, classes_y, explained=False)
    isolation = ensemble.IsolationForest(n_estimators=8, max_samples=32, max_features=0.75, random_state=SEED)
    sklearn_case("skl_isolation", isolation, with_gaps(x), y, missing=True, explained=False)
    binned = {"max_iter": 6, "max_leaf_nodes": 7, "random_state": SEED}
    histogram = ensemble.HistGradientBoostingClassifier
    sklearn_case("skl_histogram", histogram(**binned), with_gaps(cancer), cancer_y, missing=True)
    sklearn_case("skl_histogram_classes", histogram(**(binned | {"max_iter": 3})), classes, classes_y, explained=False)
    odd = [[0.1, category] + [0.1] * (x.shape[1] - 2) for category in (0, 3, 39, 40, 64, 1000, np.nan)]
    sklearn_case(
        "skl_histogram_categories",
        ensemble.HistGradientBoostingRegressor(categorical_features=[1], loss="poisson", **binned),
        with_gaps(with_categories(x), 0.05),
        y,
        missing=True,
        explained=False,
        exact=odd,
    )


# Treelite


def treelite_case(name, model, rows, scores, contributions=None):
    model.serialize(HERE / f"{name}.tl")
    write(name, "treelite_checkpoint", rows, scores, contributions)


def treelite_cases():
    x, y = diabetes()
    classes, classes_y = wine()
    small = {"n_estimators": 5, "max_depth": 3, "random_state": SEED}
    forest = ensemble.RandomForestClassifier(**small).fit(classes, classes_y)
    rows = rows_for(classes, sklearn_thresholds(forest), missing=False)
    treelite_case("tl_forest", treelite.sklearn.import_model(forest), rows, forest.predict_proba(rows))
    boosted = ensemble.GradientBoostingClassifier(**small).fit(classes, classes_y)
    treelite_case("tl_boosted", treelite.sklearn.import_model(boosted), rows, boosted.predict_proba(rows))
    targets = np.stack([y, y * 0.5 + x[:, 2] * 20], axis=1)
    forest = ensemble.RandomForestRegressor(**small).fit(x, targets)
    rows = rows_for(x, sklearn_thresholds(forest), missing=False)
    treelite_case("tl_targets", treelite.sklearn.import_model(forest), rows, forest.predict(rows))
    isolation = ensemble.IsolationForest(n_estimators=5, random_state=SEED, max_samples=32).fit(x)
    treelite_case("tl_isolation", treelite.sklearn.import_model(isolation), rows, -isolation.score_samples(rows))
    for name, ending in (("xgb_categories", "json"), ("xgb_binary", "json"), ("lgb_categories", "txt"), ("lgb_zero", "txt")):
        path = str(HERE / f"{name}.{ending}")
        load = treelite.frontend.load_xgboost_model if ending == "json" else treelite.frontend.load_lightgbm_model
        model = load(path)
        asked = json.loads((HERE / f"{name}.expected.json").read_text())["rows"]
        rows = f32([[np.nan if value is None else value for value in row] for row in asked])
        treelite_case(f"tl_{name}", model, rows, treelite.gtil.predict(model, rows))


if __name__ == "__main__":
    xgboost_cases()
    lightgbm_cases()
    sklearn_cases()
    treelite_cases()
