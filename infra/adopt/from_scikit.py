"""scikit-learn estimators and Pipelines: skops files, and pickles that the operator vouches for.

A pickle may hold a booster's scikit-learn class too; it goes the way of the booster's own file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.adopt.opened import Arrays, Asked, Opened, columns, unreadable, written
from models.convert.errors import ConversionError
from models.preprocess import tfidf
from models.trained import Encoding

# Types of scikit-learn and numpy that skops leaves to the reader to judge. They hold arrays and settings;
# restoring them runs no code of the maker's, and what a wrong array makes of them ends the child at worst.
SAFE = {
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
}
MOST_CHARACTERS = 100_000  # of a text; a vectorizer knows no limit of its own
MOST_WORDS = 1_000
AGAIN = "If it was cut off, copy it again; if another version of scikit-learn wrote it, save it with this one"


def open_model(asked: Asked) -> Opened:
    """Read the file and convert what it holds."""
    model = _skops(asked) if asked.kind == "skops" else _pickle(asked)
    package = type(model).__module__.partition(".")[0]
    if package == "xgboost":
        from infra.adopt.from_xgboost import open_booster

        return open_booster(model.get_booster(), asked, _labels(model))
    if package == "lightgbm":
        from infra.adopt.from_lightgbm import open_booster as open_lightgbm

        return open_lightgbm(model.booster_, asked, _labels(model))
    return _estimator(model, asked)


def _skops(asked: Asked) -> Any:
    """What a skops file holds; one with types that skops does not know runs their code, and is refused."""
    import skops.io

    try:
        listed = skops.io.get_untrusted_types(file=asked.path)
        unknown = sorted(set(listed) - SAFE)
        if not unknown or asked.trust:
            return skops.io.load(asked.path, trusted=listed)
    except Exception as error:  # whatever damage makes of it
        raise ConversionError(unreadable(error, AGAIN)) from error
    raise ConversionError(
        f"it holds types that skops does not know as safe ({', '.join(unknown)}), and opening it runs their "
        "code. If you made it yourself or trust who did, add --trust"
    )


def _pickle(asked: Asked) -> Any:
    import joblib

    try:
        return joblib.load(asked.path)
    except Exception as error:  # a pickle may raise anything
        raise ConversionError(unreadable(error, AGAIN)) from error


def _estimator(model: Any, asked: Asked) -> Opened:
    from models.convert.scikit import source as convert

    graph = convert.graph(model)
    (output,) = list(graph.signatures["predict"].structured_outputs)[:1]
    answer = _answers(model)[output]
    encoding, words = _encoding(model)

    def reference(inputs: Arrays) -> Arrays:
        (rows,) = inputs.values()
        return {output: answer(rows if rows.dtype == object else rows.astype("float64"))}

    files, versions = written(graph, asked), convert.versions()
    return Opened(files, reference, versions, _labels(model), (), encoding, words)


def _answers(model: Any) -> dict[str, Callable[[Any], NDArray[Any]]]:
    """What stands for each output of the converted graph."""

    def decision(rows: Any) -> NDArray[Any]:
        if not hasattr(model, "decision_function"):
            return -np.asarray(model.transform(rows))  # clusters: the nearer, the likelier
        margin = model.decision_function(rows)
        return margin if margin.ndim == 2 else np.stack([-margin, margin], axis=1)

    return {
        "scores": lambda rows: np.asarray(model.predict_proba(rows)),
        "decision": decision,
        "values": lambda rows: np.asarray(model.predict(rows)),
    }


def _encoding(model: Any) -> tuple[Encoding, tuple[str, ...]]:
    """How callers give rows: texts, columns by name, or columns in order; and words that it knows."""
    if type(model).__name__ == "Pipeline" and type(model.steps[0][1]).__name__ == "TfidfVectorizer":
        vectorizer = model.steps[0][1]
        try:
            encoding = tfidf.describe(vectorizer, MOST_CHARACTERS)
        except ValueError as error:
            raise ConversionError(str(error)) from error
        return encoding, tuple(sorted(vectorizer.vocabulary_)[:MOST_WORDS])
    return columns(getattr(model, "feature_names_in_", None), int(model.n_features_in_)), ()


def _labels(model: Any) -> tuple[str, ...]:
    clusters = range(getattr(model, "n_clusters", 0))
    return tuple(map(str, getattr(model, "classes_", clusters)))
