"""Estimators of every family, fitted here on bundled data and converted once in a child process."""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pytest
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, OneHotEncoder, RobustScaler, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR, NuSVC, NuSVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from functions.inference.litert import LiteRTModel
from functions.preprocess.tensors import ELEMENT, Tensor

Set = tuple[np.ndarray, np.ndarray]


def holes(data: Set) -> Set:
    """The same rows with a twentieth of the values missing."""
    rows = data[0].copy()
    rows[np.random.default_rng(0).random(rows.shape) < 0.05] = np.nan
    return rows, data[1]


def few_values(data: Set) -> Set:
    """The same rows, with two columns of a few whole numbers in front."""
    random = np.random.default_rng(0)
    return np.c_[random.integers(0, 4, (len(data[0]), 2)), data[0]], data[1]


DATA = {
    "iris": load_iris(return_X_y=True),
    "cancer": load_breast_cancer(return_X_y=True),
    "digits": load_digits(return_X_y=True),
    "diabetes": load_diabetes(return_X_y=True),
    "cancer-holes": holes(load_breast_cancer(return_X_y=True)),
    "iris-holes": holes(load_iris(return_X_y=True)),
    "diabetes-holes": holes(load_diabetes(return_X_y=True)),
    "iris-categories": few_values(load_iris(return_X_y=True)),
}


def scaled(model: Any) -> Any:
    return make_pipeline(StandardScaler(), model)


def mixed() -> Any:
    """Numbers filled and scaled, categories one-hot, the rest as it is."""
    parts = [
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), [2, 3]),
        ("categories", OneHotEncoder(handle_unknown="ignore"), [0, 1]),
    ]
    return make_pipeline(ColumnTransformer(parts, remainder="passthrough"), LogisticRegression(max_iter=500))


TREES = {
    "tree-cancer": DecisionTreeClassifier(random_state=0),
    "tree-leaves-tie-iris": DecisionTreeClassifier(max_depth=1, random_state=0),
    "tree-cancer-holes": DecisionTreeClassifier(max_depth=6, random_state=0),
    "forest-digits": RandomForestClassifier(100, random_state=0),
    "forest-even-iris": RandomForestClassifier(4, random_state=0),
    "forest-mixed-leaves-cancer": RandomForestClassifier(20, min_samples_leaf=5, random_state=0),
    "forest-iris-holes": RandomForestClassifier(10, random_state=0),
    "extra-cancer": ExtraTreesClassifier(20, random_state=0),
    "boosting-cancer": GradientBoostingClassifier(n_estimators=30, random_state=0),
    "boosting-iris": GradientBoostingClassifier(n_estimators=20, random_state=0),
    "boosting-exponential-cancer": GradientBoostingClassifier(
        loss="exponential", n_estimators=10, random_state=0
    ),
    "histogram-cancer": HistGradientBoostingClassifier(max_iter=20),
    "histogram-iris": HistGradientBoostingClassifier(max_iter=20),
    "histogram-cancer-holes": HistGradientBoostingClassifier(max_iter=20),
    "histogram-shallow-cancer-holes": HistGradientBoostingClassifier(max_iter=10, max_depth=3),
    "histogram-shallow-iris-holes": HistGradientBoostingClassifier(max_iter=10, max_depth=2),
    "scaled-forest-cancer": scaled(RandomForestClassifier(10, random_state=0)),
    "ranged-histogram-cancer": make_pipeline(MinMaxScaler(), HistGradientBoostingClassifier(max_iter=10)),
    "tree-values-diabetes": DecisionTreeRegressor(max_depth=6, random_state=0),
    "forest-values-diabetes": RandomForestRegressor(20, random_state=0),
    "extra-values-diabetes": ExtraTreesRegressor(20, max_depth=8, random_state=0),
    "boosting-values-diabetes": GradientBoostingRegressor(n_estimators=30, random_state=0),
    "histogram-values-diabetes-holes": HistGradientBoostingRegressor(max_iter=30),
}
SMOOTH = {
    "logistic-cancer": scaled(LogisticRegression()),
    "logistic-through-zero-cancer": LogisticRegression(fit_intercept=False, max_iter=200),
    "logistic-digits": LogisticRegression(max_iter=200),
    "ridge-labels-digits": RidgeClassifier(),
    "sgd-log-cancer": make_pipeline(MinMaxScaler(), SGDClassifier(loss="log_loss", random_state=0)),
    "sgd-log-digits": scaled(SGDClassifier(loss="log_loss", random_state=0)),
    "sgd-hinge-iris": make_pipeline(RobustScaler(), SGDClassifier(random_state=0)),
    "linear-svc-digits": scaled(LinearSVC(random_state=0)),
    "svc-cancer": scaled(SVC()),
    "svc-raw-cancer": SVC(),
    "svc-digits": scaled(SVC()),
    "svc-linear-iris": SVC(kernel="linear"),
    "svc-poly-digits": scaled(SVC(kernel="poly", coef0=1.0)),
    "svc-sigmoid-iris": scaled(SVC(kernel="sigmoid")),
    "svc-ovo-iris": SVC(decision_function_shape="ovo"),
    "svc-break-ties-digits": scaled(SVC(break_ties=True)),
    "svc-probability-iris": SVC(probability=True, random_state=0),
    "svc-probability-cancer": scaled(SVC(probability=True, random_state=0)),
    "nu-svc-iris": scaled(NuSVC(nu=0.2)),
    "calibrated-sigmoid-cancer": CalibratedClassifierCV(scaled(SVC()), ensemble=False),
    "calibrated-sigmoid-iris": CalibratedClassifierCV(SVC(), cv=3),
    "calibrated-isotonic-iris": CalibratedClassifierCV(scaled(LinearSVC()), method="isotonic", cv=3),
    "calibrated-temperature-iris": CalibratedClassifierCV(scaled(LogisticRegression()), method="temperature"),
    "calibrated-forest-cancer": CalibratedClassifierCV(RandomForestClassifier(5, random_state=0), cv=2),
    "neighbours-iris": KNeighborsClassifier(),
    "neighbours-weighted-cancer": scaled(KNeighborsClassifier(7, weights="distance")),
    "bayes-gaussian-digits": GaussianNB(var_smoothing=1e-3),
    "bayes-multinomial-digits": MultinomialNB(),
    "bayes-complement-digits": ComplementNB(),
    "bayes-bernoulli-digits": make_pipeline(MinMaxScaler(), BernoulliNB(binarize=0.5)),
    "network-cancer": scaled(MLPClassifier((16,), max_iter=60, random_state=0)),
    "network-iris": MLPClassifier((8, 8), activation="tanh", max_iter=60, random_state=0),
    "clusters-iris": KMeans(4, n_init=2, random_state=0),
    "components-digits": scaled(make_pipeline(PCA(12, whiten=True), LogisticRegression(max_iter=300))),
    "filled-cancer-holes": make_pipeline(SimpleImputer(add_indicator=True), scaled(LogisticRegression())),
    "mixed-iris-categories": mixed(),
    "selected-cancer": make_pipeline(StandardScaler(), SelectKBest(k=8), LogisticRegression()),
    "normal-iris": make_pipeline(Normalizer(), MinMaxScaler(clip=True), SVC()),
    "linear-diabetes": LinearRegression(),
    "ridge-diabetes": make_pipeline(StandardScaler(), Ridge()),
    "sgd-values-diabetes": make_pipeline(StandardScaler(), SGDRegressor(random_state=0)),
    "linear-svr-diabetes": scaled(LinearSVR(C=10, random_state=0)),
    "svr-diabetes": scaled(SVR(C=10)),
    "nu-svr-diabetes": NuSVR(kernel="poly", C=10),
    "neighbours-values-diabetes": KNeighborsRegressor(weights="distance"),
    "network-values-diabetes": scaled(MLPRegressor(hidden_layer_sizes=(16,), max_iter=100, random_state=0)),
}
TEXT = {
    "text-svc": make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LinearSVC(random_state=0)
    ),
    "text-logistic": make_pipeline(TfidfVectorizer(norm="l1", use_idf=False), LogisticRegression()),
    "text-two": make_pipeline(
        TfidfVectorizer(binary=True, norm=None), SGDClassifier(loss="log_loss", random_state=0)
    ),
}
REFUSED = {
    "unknown-iris": AdaBoostClassifier(n_estimators=3),
    "kernel-iris": SVC(kernel=lambda a, b: a @ b.T),
    "metric-iris": KNeighborsClassifier(metric="manhattan"),
    "start-cancer": GradientBoostingClassifier(n_estimators=3, init=DecisionTreeClassifier(max_depth=2)),
    "categorical-iris-categories": HistGradientBoostingClassifier(max_iter=3, categorical_features=[0, 1]),
    "unfitted-none": RandomForestClassifier(),
}


class Converted(NamedTuple):
    """A fitted estimator, its conversion behind the serving runtime, and rows that it was not fitted on."""

    source: Any
    data: bytes
    runtime: LiteRTModel
    fitted_on: np.ndarray
    rows: np.ndarray

    def answer(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name."""
        given = np.ascontiguousarray(rows, "float32")
        tensors = self.runtime.run("predict", [Tensor("features", "float32", given.shape, given.tobytes())])
        return {t.name: np.frombuffer(t.data, ELEMENT[t.dtype][0]).reshape(t.shape) for t in tensors}

    def first(self, rows: np.ndarray) -> np.ndarray:
        """The first output, which labels go by."""
        return next(iter(self.answer(rows).values()))

    def labels(self, rows: np.ndarray) -> np.ndarray:
        """The classes of the first largest scores; cluster numbers where there are no classes."""
        largest = self.first(rows).argmax(axis=1)
        return self.source.classes_[largest] if is_classifier(self.source) else largest


@pytest.fixture(scope="session")
def lines() -> tuple[list[str], list[int]]:
    """What is said about three data sets, line by line, and which one a line is about."""
    loaders = (load_iris, load_breast_cancer, load_digits)
    pairs = [(line, n) for n, load in enumerate(loaders) for line in load().DESCR.splitlines()]
    texts, about = zip(*pairs, strict=True)
    return list(texts), list(about)


@pytest.fixture(scope="session")
def texts(lines: tuple[list[str], list[int]]) -> list[str]:
    """Those lines, half of which were fitted on, and hostile ones."""
    return [*lines[0], "", " \n", "unheard-of words", "é" * 300, "\ud800 \x00", "iris " * 2_000]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, lines: tuple[list[str], list[int]]) -> Path:
    """<case>.joblib beside <case>.tflite or <case>.refused."""
    folder = tmp_path_factory.mktemp("estimators")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, model in TEXT.items():
            half = [(text, n) for text, n in zip(*lines, strict=True) if name != "text-two" or n < 2][::2]
            joblib.dump(model.fit(*zip(*half, strict=True)), folder / f"{name}.joblib")
        for name, model in {**TREES, **SMOOTH, **REFUSED}.items():
            data = DATA.get(next((key for key in sorted(DATA, key=len)[::-1] if name.endswith(key)), ""))
            if data is not None:
                model.fit(data[0][::2], data[1][::2])
            if name == "kernel-iris":
                model.kernel = "precomputed"  # a function can't be written to a file
            joblib.dump(model, folder / f"{name}.joblib")
    script = Path(__file__).with_name("convert_all.py")
    made = subprocess.run(
        [sys.executable, script, folder],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
    )
    assert made.returncode == 0, made.stderr[-4000:]
    return folder


@pytest.fixture(scope="session")
def converted(folder: Path) -> Callable[[str], Converted]:
    """Load a case by name, once."""
    loaded: dict[str, Converted] = {}

    def load(name: str) -> Converted:
        if name not in loaded:
            refused = folder / f"{name}.refused"
            assert not refused.exists(), refused.read_text()
            data = (folder / f"{name}.tflite").read_bytes()
            rows = DATA[next(key for key in sorted(DATA, key=len)[::-1] if name.endswith(key))][0]
            source = joblib.load(folder / f"{name}.joblib")
            loaded[name] = Converted(source, data, LiteRTModel(data), rows[::2], rows[1::2].astype("float32"))
        return loaded[name]

    return load
