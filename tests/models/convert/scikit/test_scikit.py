"""scikit-learn → LiteRT: the same label on every row, probabilities to 1e-5, for every family."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import is_regressor
from sklearn.utils import get_tags

TREES = [
    "tree-cancer",
    "tree-leaves-tie-iris",
    "tree-cancer-holes",
    "forest-digits",
    "forest-even-iris",
    "forest-mixed-leaves-cancer",
    "forest-iris-holes",
    "extra-cancer",
    "boosting-cancer",
    "boosting-iris",
    "boosting-exponential-cancer",
    "histogram-cancer",
    "histogram-iris",
    "histogram-cancer-holes",
    "histogram-shallow-cancer-holes",
    "histogram-shallow-iris-holes",
    "scaled-forest-cancer",
    "ranged-histogram-cancer",
    "tree-values-diabetes",
    "forest-values-diabetes",
    "extra-values-diabetes",
    "boosting-values-diabetes",
    "histogram-values-diabetes-holes",
]
SMOOTH = [
    "logistic-cancer",
    "logistic-through-zero-cancer",
    "logistic-digits",
    "ridge-labels-digits",
    "sgd-log-cancer",
    "sgd-log-digits",
    "sgd-hinge-iris",
    "linear-svc-digits",
    "svc-cancer",
    "svc-raw-cancer",
    "svc-digits",
    "svc-linear-iris",
    "svc-poly-digits",
    "svc-sigmoid-iris",
    "svc-ovo-iris",
    "svc-break-ties-digits",
    "svc-probability-iris",
    "svc-probability-cancer",
    "nu-svc-iris",
    "calibrated-sigmoid-cancer",
    "calibrated-sigmoid-iris",
    "calibrated-isotonic-iris",
    "calibrated-temperature-iris",
    "calibrated-forest-cancer",
    "neighbours-iris",
    "neighbours-weighted-cancer",
    "bayes-gaussian-digits",
    "bayes-multinomial-digits",
    "bayes-complement-digits",
    "bayes-bernoulli-digits",
    "network-cancer",
    "network-iris",
    "clusters-iris",
    "components-digits",
    "filled-cancer-holes",
    "mixed-iris-categories",
    "selected-cancer",
    "normal-iris",
    "linear-diabetes",
    "ridge-diabetes",
    "sgd-values-diabetes",
    "linear-svr-diabetes",
    "svr-diabetes",
    "nu-svr-diabetes",
    "neighbours-values-diabetes",
    "network-values-diabetes",
]
REFUSALS = {
    "unknown-iris": ["AdaBoostClassifier can't be converted", "RandomForestClassifier"],
    "kernel-iris": ["kernel 'precomputed'", "rbf, linear, poly and sigmoid"],
    "metric-iris": ["'manhattan'", "Euclidean"],
    "start-cancer": ["starts from the estimator", "'zero'"],
    "categorical-iris-categories": ["splits on categories", "one-hot"],
    "unfitted-none": ["is not fitted", "fit it"],
}
TINY = [0.0, -0.0, 1e-45, -1e-45, 1.1754942e-38, -1.1754942e-38]
HUGE = [3.4028235e38, -3.4028235e38, 1e30, -1e30]


def agrees(model: Any, rows: np.ndarray) -> None:
    """Labels equal on every row; what is a probability or a value, to 1e-5."""
    exact = rows.astype("float64")  # as scikit-learn reads a list of numbers
    if is_regressor(model.source):
        expected = model.source.predict(exact)
        assert np.abs(model.first(rows) - expected).max() <= 1e-5 * max(1, np.abs(expected).max())
        return
    labels = model.source.predict(exact)
    wrong = np.flatnonzero(model.labels(rows) != labels)
    assert not len(wrong), (len(wrong), rows[wrong[0]].tolist(), labels[wrong[0]])
    if hasattr(model.source, "predict_proba"):
        outputs = model.answer(rows)
        found = outputs.get("probabilities", model.first(rows))
        np.testing.assert_allclose(found, model.source.predict_proba(exact), atol=1e-5, rtol=0)


def thresholds(model: Any) -> np.ndarray:
    """(feature, threshold) of every split, in the units of the rows."""
    last = model.source.steps[-1][1] if hasattr(model.source, "steps") else model.source
    found = []
    if hasattr(last, "_predictors"):
        for nodes in (tree.nodes for iteration in last._predictors for tree in iteration):
            inner = nodes[nodes["is_leaf"] == 0]
            found += list(zip(inner["feature_idx"], inner["num_threshold"], strict=True))
    else:
        for tree in (member.tree_ for member in np.ravel(getattr(last, "estimators_", [last]))):
            inner = tree.children_left >= 0
            found += list(zip(tree.feature[inner], tree.threshold[inner], strict=True))
    if hasattr(model.source, "steps"):
        scaler = model.source.steps[0][1]
        unscaled = np.repeat(np.array([t for _, t in found])[:, None], scaler.n_features_in_, axis=1)
        columns = np.array([f for f, _ in found])
        back = scaler.inverse_transform(unscaled)[np.arange(len(found)), columns]
        found = list(zip(columns, back, strict=True))
    return np.array(found)


def at_thresholds(model: Any, most: int = 4_000) -> np.ndarray:
    """Real rows with one value put on a threshold, just below it and just above it."""
    random = np.random.default_rng(0)
    splits = thresholds(model)
    splits = splits[np.isfinite(splits[:, 1])]  # infinity only tells what is missing from what is not
    if len(splits) * 3 > most:
        splits = splits[random.choice(len(splits), most // 3, replace=False)]
    near = np.repeat(splits[:, 1].astype("float32"), 3).reshape(-1, 3)
    near[:, 1], near[:, 2] = np.nextafter(near[:, 0], -np.inf), np.nextafter(near[:, 0], np.inf)
    rows = model.fitted_on[random.integers(0, len(model.fitted_on), near.size)].astype("float32")
    rows[np.arange(near.size), np.repeat(splits[:, 0].astype(int), 3)] = near.ravel()
    return rows


@pytest.mark.parametrize("case", TREES + SMOOTH)
def test_answers_as_the_source_on_rows_it_never_saw(converted: Callable[[str], Any], case: str) -> None:
    model = converted(case)
    agrees(model, model.rows)


@pytest.mark.parametrize("case", TREES + SMOOTH)
def test_batch_is_free(converted: Callable[[str], Any], case: str) -> None:
    model = converted(case)
    whole = model.first(model.rows[:7])
    for size in (1, 3):
        np.testing.assert_allclose(model.first(model.rows[:size]), whole[:size], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("case", TREES)
def test_labels_hold_on_and_beside_every_threshold(converted: Callable[[str], Any], case: str) -> None:
    model = converted(case)
    agrees(model, at_thresholds(model))


@pytest.mark.parametrize("case", TREES)
def test_labels_hold_for_any_row(converted: Callable[[str], Any], case: str) -> None:
    """Rows put together from thresholds and their neighbours, zeros, denormals, what is huge, and NaN."""
    model = converted(case)
    width = model.rows.shape[1]
    near = at_thresholds(model, 300)
    pool = [*np.unique(near[np.isfinite(near)]).tolist(), *TINY]
    if hasattr(model.source, "steps"):  # behind a scaler, the tree refuses what overflows
        values = st.sampled_from(pool) | st.floats(-(2.0**100), 2.0**100, width=32)
    else:
        pool += [float("inf"), -float("inf")] if hasattr(model.source, "_predictors") else []
        pool += [*HUGE, *([float("nan")] if get_tags(model.source).input_tags.allow_nan else [])]
        values = st.sampled_from(pool) | st.floats(width=32, allow_nan=False, allow_infinity=False)
    rows = arrays("float32", st.tuples(st.integers(1, 4), st.just(width)), elements=values, fill=st.just(0.0))

    @given(rows)
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def hold(given: np.ndarray) -> None:
        agrees(model, given)

    hold()


@pytest.mark.parametrize("case", [name for name in SMOOTH if "holes" not in name])
def test_smooth_models_hold_away_from_the_data(converted: Callable[[str], Any], case: str) -> None:
    """Rows up to three times as far out; labels count where the source is not undecided to seven digits."""
    model, random = converted(case), np.random.default_rng(0)
    low, high = model.fitted_on.min(axis=0), model.fitted_on.max(axis=0)
    reach = (high - low) * (0 if "bayes" in case else 1)
    rows = random.uniform(low - reach, high + reach, (500, len(low))).astype("float32")
    exact = rows.astype("float64")
    if is_regressor(model.source):
        return agrees(model, rows)
    scores = getattr(model.source, "decision_function", getattr(model.source, "predict_proba", None))
    margin = scores(exact) if scores else -model.source.transform(exact)
    if margin.ndim == 1:
        gap = np.abs(margin)
    else:
        ranked = np.sort(margin, axis=1)
        gap = ranked[:, -1] - ranked[:, -2]
    decided = (gap > 1e-6 * (1 + np.abs(margin).max())) | (gap == 0)
    assert decided.mean() > 0.95
    assert (model.labels(rows) == model.source.predict(exact))[decided].all()


@pytest.mark.parametrize("factor", [1e-9, 1e-20, 1e-35])
def test_a_margin_near_zero_keeps_its_side(converted: Callable[[str], Any], factor: float) -> None:
    """Float32 probabilities alone would be 0.5 twice, which is the first class."""
    model = converted("logistic-through-zero-cancer")
    agrees(model, (model.rows * factor).astype("float32"))


def test_ties_go_to_the_first_class(converted: Callable[[str], Any]) -> None:
    """An even number of trees ties on real rows, and a stump's leaf holds two classes alike."""
    for case in ("forest-even-iris", "tree-leaves-tie-iris"):
        model, random = converted(case), np.random.default_rng(0)
        low, high = model.fitted_on.min(axis=0), model.fitted_on.max(axis=0)
        rows = random.uniform(low, high, (1_000, len(low))).astype("float32")
        shares = np.sort(model.source.predict_proba(rows), axis=1)
        assert (shares[:, -1] == shares[:, -2]).sum() >= 10
        agrees(model, rows)


@pytest.mark.parametrize("case", TREES + SMOOTH)
def test_has_builtin_ops_only(folder: Path, case: str) -> None:
    interpreter = Interpreter(
        str(folder / f"{case}.tflite"),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    names = {op["op_name"] for op in interpreter._get_ops_details()}
    assert not {name for name in names if name.startswith("Flex") or name == "CUSTOM"}


def test_every_case_made_is_tested(folder: Path) -> None:
    made = (path.stem for path in folder.glob("*.tflite") if not path.stem.startswith("text-"))
    assert sorted(made) == sorted(TREES + SMOOTH)
    assert sorted(path.stem for path in folder.glob("*.refused")) == sorted(REFUSALS)


@pytest.mark.parametrize("case", REFUSALS)
def test_refuses_by_name_and_says_what_to_do(folder: Path, case: str) -> None:
    message = (folder / f"{case}.refused").read_text()
    for part in REFUSALS[case]:
        assert part in message
