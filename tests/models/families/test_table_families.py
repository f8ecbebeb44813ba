"""Families of rows, texts and ratings, on bundled data: they learn, tell progress and repeat themselves."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_iris

from models.families.factorization import Recommender, rmse
from models.families.kinds import Fitted, Rows, family

NONE = Rows([], [])
PARAMETERS: dict[str, dict[str, Any]] = {
    "tree": {"max_depth": 5, "min_samples_leaf": 3, "seed": 1},
    "forest": {"n_estimators": 25, "max_depth": 6, "weights": [1.0, 2.0], "seed": 1},
    "svm": {"c": 2.0, "gamma": "scale", "folds": 3},
}
FACTORIZATION = {"factors": 3, "regularization": 0.02, "sweeps": 40, "patience": 3, "seed": 1}
USERS, ITEMS = 60, 40


def fitted(name: str, told: list[Any] | None = None) -> tuple[Fitted, float]:
    rows, labels = load_breast_cancer(return_X_y=True)
    tell = (lambda *at: told.append(at)) if told is not None else (lambda *at: None)
    result = family(name).fit(PARAMETERS[name], Rows(rows[::2], labels[::2]), NONE, tell)
    return result, float((result.source.predict(rows[1::2]) == labels[1::2]).mean())


@pytest.mark.parametrize("name", PARAMETERS)
def test_learns_and_repeats_itself(name: str) -> None:
    (first, accuracy), (second, again) = fitted(name), fitted(name)
    assert accuracy > 0.9
    assert (accuracy, first.facts) == (again, second.facts)
    rows = load_breast_cancer().data
    assert (first.source.predict_proba(rows) == second.source.predict_proba(rows)).all()


def test_a_forest_tells_every_tree_and_weighs_its_classes() -> None:
    told: list[Any] = []
    result, _ = fitted("forest", told)
    assert [done for _, done, _ in told] == list(range(1, 26))
    assert result.facts["trees"] == len(result.source.estimators_) == 25
    assert result.source.class_weight == {0: 1.0, 1: 2.0}
    assert result.source.n_jobs == 1  # answers don't depend on the order in which threads add


def test_a_linear_svm_tells_texts_apart() -> None:
    sets = (load_iris, load_breast_cancer, load_digits)
    pairs = [(line, n) for n, load in enumerate(sets) for line in load().DESCR.splitlines() if line.strip()]
    texts, labels = zip(*pairs, strict=True)
    parameters = {"ngrams": [1, 2], "min_documents": 1, "max_terms": 500, "c": 1.0, "seed": 1}
    result = family("linear-svm").fit(parameters, Rows(texts, np.array(labels)), NONE, lambda *at: None)
    assert (result.source.predict(texts) == np.array(labels)).mean() > 0.8
    assert result.facts["terms"] == 500


def ratings(seed: int) -> tuple[Rows, Rows]:
    """Ratings of a world with two tastes, and a little noise; two thirds and the rest."""
    random = np.random.default_rng(seed)
    users, items = random.normal(size=(USERS, 2)), random.normal(size=(ITEMS, 2))
    pairs = np.array([(user, item) for user in range(USERS) for item in range(ITEMS)])
    random.shuffle(pairs)
    stars = 3.5 + (users[pairs[:, 0]] * items[pairs[:, 1]]).sum(axis=1) + random.normal(0, 0.1, len(pairs))
    at = 2 * len(pairs) // 3
    return Rows(pairs[:at], stars[:at]), Rows(pairs[at:], stars[at:])


def test_factorization_finds_what_ratings_are_made_of() -> None:
    train, rest = ratings(0)
    model = family("factorization").fit(FACTORIZATION, train, rest, lambda *at: None).source
    assert rmse(model, rest) < 0.3 < float(np.std(rest.targets)) / 3
    again = family("factorization").fit(FACTORIZATION, train, rest, lambda *at: None).source
    assert (model.users == again.users).all()


def test_factorization_keeps_the_best_sweep() -> None:
    train, rest = ratings(1)
    loose = {**FACTORIZATION, "factors": 20, "regularization": 1e-4}
    result = family("factorization").fit(loose, train, rest, lambda *at: None)
    assert result.facts["best_sweep"] < 40
    assert result.facts["validation_rmse"] == pytest.approx(rmse(result.source, rest))


def test_recommends_the_best_of_what_was_not_seen() -> None:
    train, rest = ratings(2)
    factors = family("factorization").fit(FACTORIZATION, train, rest, lambda *at: None).source
    seen = [np.sort(train.inputs[train.inputs[:, 0] == user, 1]) for user in range(USERS)]
    model = Recommender(factors, np.arange(USERS) + 100, np.arange(ITEMS) * 2, seen, best=5)
    chosen = model.recommend([100, 159, 99])
    assert chosen.shape == (3, 5)
    for user, items in zip((0, 59), chosen, strict=False):
        unseen = np.setdiff1d(np.arange(ITEMS), seen[user])
        pairs = np.stack([np.full(len(unseen), user), unseen], axis=1)
        expected = unseen[np.argsort(-factors.rate(pairs))[:5]] * 2
        assert items.tolist() == expected.tolist()
    assert chosen[2].tolist() == (np.argsort(-factors.items[:, -1])[:5] * 2).tolist()
