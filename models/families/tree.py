"""Decision tree over the columns of a table.

Parameters are DecisionTreeClassifier's; `seed` is its random state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.tree import DecisionTreeClassifier

from models.families.kinds import Fitted, Rows
from models.trained import Tell


def fit(parameters: Mapping[str, Any], train: Rows, validation: Rows, tell: Tell) -> Fitted:
    """Fit on float rows [n, columns] and class numbers; there is nothing that validation could stop."""
    options = {name: value for name, value in parameters.items() if name != "seed"}
    model = DecisionTreeClassifier(random_state=parameters["seed"], **options)
    model.fit(train.inputs, train.targets)
    return Fitted(model, {"nodes": int(model.tree_.node_count), "depth": int(model.get_depth())})
