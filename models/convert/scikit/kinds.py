"""The estimators that can be converted, by class name.

A new one is a function in its family's file and a line here. A model's function takes the fitted model and
the scaling before it, which it absorbs; it gives rows → outputs. A scaler becomes an `Affine`, any other
step rows → rows.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from models.convert.scikit.affine import Affine
from models.convert.scores import SCORES, Outputs, Tensor
from models.convert.tflite import ConversionError

Map = Callable[[Tensor], Tensor]
Predict = Callable[[Tensor], Outputs]

_LINEAR_REGRESSORS = (
    "ARDRegression BayesianRidge ElasticNet ElasticNetCV HuberRegressor Lars LarsCV Lasso LassoCV LassoLars "
    "LinearRegression LinearSVR OrthogonalMatchingPursuit Ridge RidgeCV SGDRegressor TheilSenRegressor"
)
_MARGINS = "LinearSVC PassiveAggressiveClassifier Perceptron RidgeClassifier RidgeClassifierCV"

MODELS = {
    **dict.fromkeys(("DecisionTreeClassifier", "ExtraTreeClassifier"), "trees.classifier"),
    **dict.fromkeys(("RandomForestClassifier", "ExtraTreesClassifier"), "trees.classifier"),
    **dict.fromkeys(("DecisionTreeRegressor", "ExtraTreeRegressor"), "trees.regressor"),
    **dict.fromkeys(("RandomForestRegressor", "ExtraTreesRegressor"), "trees.regressor"),
    "GradientBoostingClassifier": "boosting.classifier",
    "GradientBoostingRegressor": "boosting.regressor",
    "HistGradientBoostingClassifier": "boosting.histogram_classifier",
    "HistGradientBoostingRegressor": "boosting.histogram_regressor",
    **dict.fromkeys(("LogisticRegression", "LogisticRegressionCV"), "linear.logistic"),
    "SGDClassifier": "linear.sgd",
    **dict.fromkeys(_MARGINS.split(), "linear.by_margin"),
    **dict.fromkeys(_LINEAR_REGRESSORS.split(), "linear.regressor"),
    **dict.fromkeys(("SVC", "NuSVC"), "svm.classifier"),
    **dict.fromkeys(("SVR", "NuSVR"), "svm.regressor"),
    "CalibratedClassifierCV": "calibrated.classifier",
    "KNeighborsClassifier": "neighbors.classifier",
    "KNeighborsRegressor": "neighbors.regressor",
    "GaussianNB": "bayes.gaussian",
    "MultinomialNB": "bayes.multinomial",
    "ComplementNB": "bayes.complement",
    "BernoulliNB": "bayes.bernoulli",
    "MLPClassifier": "network.classifier",
    "MLPRegressor": "network.regressor",
    **dict.fromkeys(("KMeans", "MiniBatchKMeans"), "cluster.clusters"),
}
DECISIONS = {
    **dict.fromkeys((*_MARGINS.split(), "LogisticRegression", "SGDClassifier"), "linear.decision"),
    **dict.fromkeys(("SVC", "NuSVC"), "svm.decision"),
}
SCALERS = {
    "StandardScaler": "affine.standard",
    "RobustScaler": "affine.robust",
    "MinMaxScaler": "affine.min_max",
    "MaxAbsScaler": "affine.max_abs",
}
STEPS = {
    "SimpleImputer": "transform.imputer",
    "OneHotEncoder": "transform.one_hot",
    "MinMaxScaler": "transform.clipped_min_max",
    "Normalizer": "transform.normalizer",
    **dict.fromkeys(("PCA", "TruncatedSVD"), "transform.projection"),
    **dict.fromkeys(
        ("VarianceThreshold", "SelectKBest", "SelectPercentile", "SelectFromModel", "RFE"),
        "transform.selection",
    ),
    "ColumnTransformer": "transform.columns",
    "FeatureUnion": "transform.union",
}


def predictor(model: Any, before: Affine | None = None) -> Predict:
    """Rows → outputs of a model, or of a Pipeline that ends in one."""
    if type(model).__name__ == "Pipeline":
        steps, before = _chain([step for _, step in model.steps[:-1]], before)
        last = predictor(model.steps[-1][1], before)
        return (lambda rows: last(steps(rows))) if steps else last
    return _find(MODELS, model)(model, before)  # type: ignore[no-any-return]


def transformer(step: Any) -> Map:
    """Rows → rows of a step, or of a Pipeline of steps."""
    steps, scaling = _chain([step], None)
    if scaling is None:
        assert steps
        return steps
    return scaling.apply if steps is None else lambda rows: scaling.apply(steps(rows))


def response(model: Any, before: Affine | None) -> Map:
    """What a calibrator is given: the decision function, else the probabilities."""
    if type(model).__name__ == "Pipeline":
        steps, before = _chain([step for _, step in model.steps[:-1]], before)
        last = response(model.steps[-1][1], before)
        return (lambda rows: last(steps(rows))) if steps else last
    if type(model).__name__ in DECISIONS:
        return _find(DECISIONS, model)(model, before)  # type: ignore[no-any-return]
    if hasattr(model, "decision_function"):
        raise ConversionError(
            f"the decision function of {type(model).__name__} can't be converted for a calibrator"
        )
    predict = predictor(model, before)
    return lambda rows: predict(rows)[SCORES]


def _chain(parts: list[Any], scaling: Affine | None) -> tuple[Map | None, Affine | None]:
    """Steps one after the other; scaling that nothing has absorbed yet is given back beside them."""
    done: Map | None = None
    for part in parts:
        if part is None or (isinstance(part, str) and part == "passthrough"):
            continue
        if type(part).__name__ == "Pipeline":
            more, scaling = _chain([step for _, step in part.steps], scaling)
            done = _after(done, more)
        elif type(part).__name__ in SCALERS and not getattr(part, "clip", False):
            scaler = _find(SCALERS, part)(part)
            scaling = scaling.then(scaler) if scaling else scaler
        else:
            step = _find(STEPS, part)(part)
            done = _after(_after(done, scaling.apply if scaling else None), step)
            scaling = None
    return done, scaling


def _after(first: Map | None, second: Map | None) -> Map | None:
    if first is None or second is None:
        return first or second
    return lambda rows: second(first(rows))


def _find(table: dict[str, str], estimator: Any) -> Callable[..., Any]:
    name = type(estimator).__name__
    if name not in table or not type(estimator).__module__.startswith("sklearn."):
        known = ", ".join(sorted(table))
        raise ConversionError(
            f"{type(estimator).__module__}.{name} can't be converted. These can, in a Pipeline too: {known}"
        )
    file, _, function = table[name].partition(".")
    return getattr(import_module(f"models.convert.scikit.{file}"), function)  # type: ignore[no-any-return]
