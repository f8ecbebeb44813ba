"""Random forest over the columns of a table, for classes that may be rare.

Parameters are RandomForestClassifier's; `seed` is its random state and `weights` what a row of each
class counts, in the order of the classes, where one of them has to count for more than it has rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.ensemble import RandomForestClassifier

from models.families.kinds import Fitted, Rows
from models.trained import Tell


def fit(parameters: Mapping[str, Any], train: Rows, validation: Rows, tell: Tell) -> Fitted:
    """Fit on float rows [n, columns] and class numbers, on all cores; one tree after another is told of."""
    options = dict(parameters)
    trees, seed, weights = options.pop("n_estimators"), options.pop("seed"), options.pop("weights", None)
    model = RandomForestClassifier(
        n_estimators=0,
        random_state=seed,
        class_weight=dict(enumerate(weights)) if weights else None,
        warm_start=True,
        n_jobs=-1,
        **options,
    )
    step = max(1, trees // 20)
    for grown in range(step, trees + step, step):
        model.set_params(n_estimators=min(grown, trees))
        model.fit(train.inputs, train.targets)
        tell(f"Tree {model.n_estimators} of {trees}", model.n_estimators, trees)
    nodes = sum(tree.tree_.node_count for tree in model.estimators_)
    # Sums of float64 depend on their order, which threads don't keep: the proof is against one order.
    model.set_params(n_jobs=1)
    return Fitted(model, {"trees": trees, "nodes": nodes})
