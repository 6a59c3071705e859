"""Writes a fitted scikit-learn model of trees as `forest.json`, which the backend `fil` serves (model_type nereid_forest).

    import export_sklearn
    export_sklearn.export(model, "model_repository/credit/1/forest.json")

or from the command line, with the environment in which the model was pickled (a pickle can do anything: only your own):

    python3 examples/forests/export_sklearn.py model.pkl model_repository/credit/1/forest.json

Exported: DecisionTree*, ExtraTree*, RandomForest*, ExtraTrees*, GradientBoosting* and HistGradientBoosting*, classifiers and
regressors, forests with several targets for regressors; IsolationForest. Scores are `predict_proba` of classifiers (one column, that of
the second class, for boosted ones of two classes), `predict` of regressors, and of isolation forests `-score_samples`: from 0
to 1, the larger the more unusual; what exceeds `-offset_` is an outlier. A feature is compared as scikit-learn does, so that 32-bit rows agree to the last digits. Classes are answered by their place in `classes_`.

Refused: other estimators, boosting on top of an estimator of your own (`init`), classifiers of several targets, and
categories that are no whole numbers from 0 to 2**24. The file's format is described in README.md beside this script.
"""

import json
import pathlib
import pickle
import sys

import numpy as np
from sklearn import ensemble, tree
from sklearn.base import is_classifier

AVERAGED = (
    ensemble.RandomForestClassifier,
    ensemble.RandomForestRegressor,
    ensemble.ExtraTreesClassifier,
    ensemble.ExtraTreesRegressor,
)
SINGLE = (tree.DecisionTreeClassifier, tree.DecisionTreeRegressor)
BOOSTED = (ensemble.GradientBoostingClassifier, ensemble.GradientBoostingRegressor)
HISTOGRAM = (ensemble.HistGradientBoostingClassifier, ensemble.HistGradientBoostingRegressor)

ISOLATION = (ensemble.IsolationForest,)

LEAF = -1
CATEGORY_MAX = 2**24
# Links of losses whose names are not `squared_error` and the like, which have none.
LINKS = {
    "log_loss": "sigmoid",
    "binary_crossentropy": "sigmoid",
    "exponential": "sigmoid",
    "poisson": "exponential",
    "gamma": "exponential",
}


def export(model, path):
    """Writes the model; the folder must be there."""
    pathlib.Path(path).write_text(json.dumps(to_document(model), separators=(",", ":")) + "\n")


def to_document(model) -> dict:
    if isinstance(model, SINGLE):
        return averaged(model, [model])
    if isinstance(model, AVERAGED):
        return averaged(model, model.estimators_)
    if isinstance(model, BOOSTED):
        return boosted(model)
    if isinstance(model, HISTOGRAM):
        return histogram(model)
    if isinstance(model, ISOLATION):
        return isolation(model)
    known = ", ".join(kind.__name__ for kind in SINGLE + AVERAGED + BOOSTED + HISTOGRAM + ISOLATION)
    raise TypeError(f"{type(model).__name__} cannot be exported; these can: {known}")


def document(model, classes, base_scores, link, trees, targets=1, is_averaged=False) -> dict:
    binary = is_classifier(model) and classes == 1
    task = "binary" if binary else "multiclass" if is_classifier(model) else "regression"
    return {
        "format": "nereid-forest",
        "version": 1,
        "task": task,
        "feature_count": int(model.n_features_in_),
        "targets": targets,
        "classes": classes,
        "base_scores": [float(score) for score in base_scores],
        "averaged": is_averaged,
        "link": link,
        "trees": trees,
    }


# Trees of Cython's `Tree`


def averaged(model, estimators) -> dict:
    """Leaves are shares of classes, or means; the forest is their mean."""
    if is_classifier(model):
        if model.n_outputs_ > 1:
            raise TypeError("a classifier of several targets cannot be exported: export one for each")
        classes, targets = int(model.n_classes_), 1
    else:
        classes, targets = 1, int(model.n_outputs_)
    count = classes * targets

    def leaves(found):
        values = found.value[:, 0, :] if is_classifier(model) else found.value[:, :, 0]
        # Before 1.3 leaves were counts.
        return values / values.sum(axis=1, keepdims=True) if is_classifier(model) else values

    trees = [plain_tree(estimator.tree_, leaves(estimator.tree_), [0, 1, count]) for estimator in estimators]
    return document(model, classes, [0.0] * count, {"name": "identity"}, trees, targets, is_averaged=True)


def boosted(model) -> dict:
    count = model.estimators_.shape[1]
    if model.init is not None and model.init != "zero":
        raise TypeError("boosting on top of an estimator of your own (init) cannot be exported")
    base_scores = model._raw_predict_init(np.zeros((1, model.n_features_in_), np.float32))[0]
    trees = [
        plain_tree(stage[output].tree_, model.learning_rate * stage[output].tree_.value[:, :, 0], [output, 1, 1])
        for stage in model.estimators_
        for output in range(count)
    ]
    if not is_classifier(model):
        link = {"name": "identity"}
    elif count > 1:
        link = {"name": "softmax"}
    else:
        # The margin of the exponential loss is half of the log odds.
        link = {"name": "sigmoid", "alpha": 2.0 if model.loss == "exponential" else 1.0}
    return document(model, count, base_scores, link, trees)


def isolation(model) -> dict:
    """Leaves are the splits that it took to come there, and those that the samples left there would still take."""
    ratio = float(path_length(np.array([model.max_samples_]))[0])
    if ratio == 0:
        raise TypeError("an isolation forest of trees with a single sample cannot be exported: every score is 1")
    trees = []
    for estimator, columns in zip(model.estimators_, model.estimators_features_, strict=True):
        found = estimator.tree_
        # Inner nodes ask for a column of the tree's own choice of them.
        values = (depths(found) + path_length(found.n_node_samples))[:, None]
        trees.append(plain_tree(found, values, [0, 1, 1], np.asarray(columns)))
    link = {"name": "exponential_standard_ratio", "ratio": ratio}
    return document(model, 1, [0.0], link, trees, is_averaged=True) | {"task": "isolation"}


def depths(found):
    """Steps from the root, of every node; children come after their parents."""
    steps = np.zeros(found.node_count)
    for node in np.flatnonzero(found.children_left != LEAF):
        steps[[found.children_left[node], found.children_right[node]]] = steps[node] + 1
    return steps


def path_length(samples):
    """Splits that isolate one of so many samples, on average."""
    samples = np.asarray(samples, float)
    several = np.maximum(samples, 3)
    length = 2 * (np.log(several - 1) + np.euler_gamma) - 2 * (several - 1) / several
    return np.where(samples <= 1, 0.0, np.where(samples == 2, 1.0, length))


def plain_tree(found, values, outputs, columns=None) -> dict:
    is_leaf = found.children_left == LEAF
    feature = found.feature if columns is None else columns[np.where(is_leaf, 0, found.feature)]
    missing = getattr(found, "missing_go_to_left", np.zeros(found.node_count))
    return {
        "outputs": outputs,
        "left": found.children_left.tolist(),
        "right": found.children_right.tolist(),
        "feature": np.where(is_leaf, 0, feature).tolist(),
        "threshold": np.where(is_leaf, 0, found.threshold).tolist(),
        "default_left": np.where(is_leaf, 0, missing).astype(int).tolist(),
        "cover": found.weighted_n_node_samples.tolist(),
        "values": values[is_leaf].ravel().tolist(),
    }


# Trees of histogram boosting


def histogram(model) -> dict:
    count = int(model.n_trees_per_iteration_)
    columns, categories = columns_of(model)
    trees = [
        histogram_tree(predictor, [output, 1, 1], columns, categories)
        for stage in model._predictors
        for output, predictor in enumerate(stage)
    ]
    name = "softmax" if count > 1 else LINKS.get(model.loss, "identity")
    link = {"name": name, "alpha": 1.0} if name == "sigmoid" else {"name": name}
    return document(model, count, np.ravel(model._baseline_prediction), link, trees)


def columns_of(model):
    """The model sees categories first and counts them; these are the columns as clients have them, and their values."""
    plain = list(range(model.n_features_in_))
    is_categorical = model.is_categorical_
    if is_categorical is None:
        return plain, {}
    encoder = model._preprocessor.named_transformers_["encoder"]
    columns = [column for column in plain if is_categorical[column]]
    categories = {}
    for place, values in enumerate(encoder.categories_):
        known = [value for value in values if value == value and value is not None]
        if not all(isinstance(value, (int, float, np.number)) and value in range(CATEGORY_MAX) for value in known):
            raise TypeError(f"feature {columns[place]} has categories that are no whole numbers from 0 to {CATEGORY_MAX - 1}")
        categories[place] = [int(value) for value in known]
    return columns + [column for column in plain if not is_categorical[column]], categories


def histogram_tree(predictor, outputs, columns, categories) -> dict:
    nodes = predictor.nodes
    left, right = nodes["left"].astype(int).tolist(), nodes["right"].astype(int).tolist()
    default_left = nodes["missing_go_to_left"].astype(int).tolist()
    sets, members, starts = [], [], [0]
    for number, node in enumerate(nodes):
        if node["is_leaf"]:
            left[number] = right[number] = LEAF
        elif node["is_categorical"]:
            bits = predictor.raw_left_cat_bitsets[node["bitset_idx"]]
            known = categories[node["feature_idx"]]
            to_left = [value for code, value in enumerate(known) if bits[code // 32] >> (code % 32) & 1]
            if default_left[number]:
                # What is not known goes where missing goes: list those that go right, and exchange the sides.
                to_left = [value for value in known if value not in to_left]
                left[number], right[number] = right[number], left[number]
            default_left[number] = 0
            sets.append(number)
            members += to_left
            starts.append(len(members))
    is_leaf = nodes["is_leaf"].astype(bool)
    return {
        "outputs": outputs,
        "left": left,
        "right": right,
        "feature": [0 if leaf else columns[place] for leaf, place in zip(is_leaf, nodes["feature_idx"])],
        "threshold": np.where(is_leaf | (nodes["is_categorical"] == 1), 0, nodes["num_threshold"]).tolist(),
        "default_left": default_left,
        "cover": nodes["count"].tolist(),
        "values": nodes["value"][is_leaf].tolist(),
        "category_nodes": sets,
        "category_starts": starts,
        "categories": members,
    }


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], "rb") as file:
        export(pickle.load(file), sys.argv[2])
