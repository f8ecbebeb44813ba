"""Support vector machine with an RBF kernel on scaled columns, its margins calibrated to probabilities.

Parameters: `c`, `gamma` of SVC, and `folds`, over which Platt's sigmoid is fitted. One machine is kept,
fitted on all rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from models.families.kinds import Fitted, Rows
from models.trained import Tell


def fit(parameters: Mapping[str, Any], train: Rows, validation: Rows, tell: Tell) -> Fitted:
    """Fit on float rows [n, columns] and class numbers; there is nothing that validation could stop."""
    machine = make_pipeline(StandardScaler(), SVC(C=parameters["c"], gamma=parameters["gamma"]))
    model = CalibratedClassifierCV(machine, cv=parameters["folds"], ensemble=False)
    model.fit(train.inputs, train.targets)
    kept = model.calibrated_classifiers_[0].estimator[-1]
    return Fitted(model, {"support_vectors": len(kept.support_)})
