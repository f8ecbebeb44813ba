"""XGBoost's own files: JSON or UBJSON, as `save_model` writes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xgboost

from infra.adopt.opened import Arrays, Asked, Opened, columns, unreadable, written
from models.convert.errors import ConversionError

AGAIN = 'If it was cut off, copy it again; else save it with booster.save_model("model.json")'


def open_model(asked: Asked) -> Opened:
    """Let XGBoost read the file: it knows both notations, and answers for the proof."""
    booster = xgboost.Booster()
    try:
        booster.load_model(asked.path)
        _ = booster.feature_names  # which damage makes undecodable
    except (xgboost.core.XGBoostError, ValueError) as error:
        raise ConversionError(unreadable(error, AGAIN)) from error
    return open_booster(booster, asked)


def open_booster(booster: Any, asked: Asked, labels: tuple[str, ...] = ()) -> Opened:
    """Convert a booster by its JSON."""
    from models.convert import xgboost as convert

    graph = convert.graph(bytes(booster.save_raw("json")))
    count = booster.num_features()
    outputs = graph.signatures["predict"].structured_outputs
    best = booster.attr("best_iteration")
    trees = (0, 0 if best is None else int(best) + 1)
    names = booster.feature_names

    def reference(inputs: Arrays) -> Arrays:
        (rows,) = inputs.values()
        data = xgboost.DMatrix(rows, feature_names=names)
        if "values" in outputs:
            return {"values": booster.predict(data, iteration_range=trees)}
        margin = booster.predict(data, output_margin=True, iteration_range=trees).astype("float64")
        if margin.ndim == 1:
            above = 1 / (1 + np.exp(-margin))
            return {"scores": np.stack([1 - above, above], axis=1)}
        raised = np.exp(margin - margin.max(axis=1, keepdims=True))
        return {"scores": raised / raised.sum(axis=1, keepdims=True)}

    source = convert.versions() | {"xgboost": xgboost.__version__}
    return Opened(written(graph, asked), reference, source, labels, (), columns(names, count))
