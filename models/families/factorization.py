"""Matrix factorisation of ratings: mean + user's bias + item's bias + user's factors · item's factors.

Fitted by alternating least squares in numpy: with the items held fast each user is a small ridge
regression, and the other way round (Koren, Bell and Volinsky, "Matrix factorization techniques for
recommender systems", 2009). Parameters: `factors`, `regularization` (a rating of it each), `sweeps`
(at most), `patience` (sweeps without a better validation error before it stops) and `seed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.families.kinds import Fitted, Rows
from models.trained import Tell

Array = NDArray[np.float64]


class Factors(NamedTuple):
    """What was learnt, in float64. `users` is [users, factors + 1] with the bias last, `items` likewise."""

    mean: float
    users: Array
    items: Array

    def rate(self, pairs: NDArray[np.int64]) -> Array:
        """The expected ratings of (user, item) pairs [n, 2]."""
        user, item = self.users[pairs[:, 0]], self.items[pairs[:, 1]]
        return np.asarray(self.mean + user[:, -1] + item[:, -1] + (user[:, :-1] * item[:, :-1]).sum(axis=1))


class Recommender(NamedTuple):
    """Factors with the ids that callers use, and what each user has seen, by item number.

    Ids are whole numbers from 0, `user_ids` and `item_ids` by number, ascending. A user without an id
    here is answered by the items' biases alone.
    """

    factors: Factors
    user_ids: NDArray[np.int64]
    item_ids: NDArray[np.int64]
    seen: list[NDArray[np.int64]]
    best: int

    def recommend(self, user_ids: Sequence[int]) -> NDArray[np.int64]:
        """The ids [n, best] of the items each user would rate highest and has not seen."""
        numbers = {int(known): number for number, known in enumerate(self.user_ids)}
        chosen = []
        for user in user_ids:
            ratings = self.factors.items[:, -1].copy()
            number = numbers.get(user)
            if number is not None:
                own = self.factors.users[number]
                ratings += self.factors.items[:, :-1] @ own[:-1]
                ratings[self.seen[number]] = -np.inf
            chosen.append(self.item_ids[np.argsort(-ratings, kind="stable")[: self.best]])
        return np.array(chosen)


def fit(parameters: Mapping[str, Any], train: Rows, validation: Rows, tell: Tell) -> Fitted:
    """Fit on (user, item) numbers [n, 2] and their ratings; keeps the sweep of the best validation error."""
    random = np.random.default_rng(parameters["seed"])
    count, width = np.max(train.inputs, axis=0) + 1, parameters["factors"] + 1
    users, items = (random.normal(0, 0.1, (int(size), width)) for size in count)
    users[:, -1] = items[:, -1] = 0
    mean = float(np.mean(train.targets))
    best, best_error, best_sweep = Factors(mean, users, items), np.inf, 0
    for sweep in range(1, parameters["sweeps"] + 1):
        tell(f"Sweep {sweep} of at most {parameters['sweeps']}", sweep, parameters["sweeps"])
        by_user, by_item = train.inputs[:, 0], train.inputs[:, 1]
        _solve(users, items, by_user, by_item, train.targets - mean, parameters)
        _solve(items, users, by_item, by_user, train.targets - mean, parameters)
        found = Factors(mean, users.copy(), items.copy())
        error = rmse(found, validation)
        if error < best_error:
            best, best_error, best_sweep = found, error, sweep
        elif sweep - best_sweep >= parameters["patience"]:
            break
    return Fitted(best, {"best_sweep": best_sweep, "validation_rmse": best_error})


def rmse(model: Factors, rows: Rows) -> float:
    """The root of the mean squared error."""
    return float(np.sqrt(np.mean((model.rate(rows.inputs) - rows.targets) ** 2)))


def _solve(
    own: Array,
    other: Array,
    of: NDArray[np.int64],
    against: NDArray[np.int64],
    ratings: Array,
    parameters: Mapping[str, Any],
) -> None:
    """Set every row of `own` to the ridge solution of its ratings, factors and bias together."""
    order = np.argsort(of, kind="stable")
    starts = np.searchsorted(of[order], np.arange(len(own) + 1))
    ridge = parameters["regularization"] * np.eye(own.shape[1])
    for number in range(len(own)):
        rated = order[starts[number] : starts[number + 1]]
        if not len(rated):
            own[number] = 0
            continue
        known = other[against[rated]]
        features = np.hstack([known[:, :-1], np.ones((len(rated), 1))])
        own[number] = np.linalg.solve(
            features.T @ features + len(rated) * ridge, features.T @ (ratings[rated] - known[:, -1])
        )
