"""LightGBM's own text files, as `save_model` writes them."""

from __future__ import annotations

import re
from typing import Any

import lightgbm
import numpy as np

from infra.adopt.opened import Arrays, Asked, Opened, columns, unreadable, written
from models.convert.errors import ConversionError

AGAIN = 'If it was cut off, copy it again; else save it with booster.save_model("model.txt")'
_MADE_UP = re.compile(r"Column_\d+")


def open_model(asked: Asked) -> Opened:
    """Let LightGBM read the file: it answers for the proof."""
    try:
        text = asked.path.read_text("utf-8")
        if "\nend of trees" not in text:  # LightGBM itself ends the process, or reads half a model
            raise ValueError("the line 'end of trees' is missing")
        booster = lightgbm.Booster(model_str=text)
    except (lightgbm.basic.LightGBMError, ValueError) as error:
        raise ConversionError(unreadable(error, AGAIN)) from error
    return open_booster(booster, asked)


def open_booster(booster: Any, asked: Asked, labels: tuple[str, ...] = ()) -> Opened:
    """Convert a booster by its text."""
    from models.convert import lightgbm as convert

    graph = convert.graph(booster.model_to_string().encode())
    outputs = graph.signatures["predict"].structured_outputs
    names = booster.feature_name()

    def reference(inputs: Arrays) -> Arrays:
        (rows,) = inputs.values()
        found = np.asarray(booster.predict(rows))
        if "values" in outputs:
            return {"values": found}
        return {"scores": found if found.ndim == 2 else np.stack([1 - found, found], axis=1)}

    source = convert.versions() | {"lightgbm": lightgbm.__version__}
    known = None if all(map(_MADE_UP.fullmatch, names)) else names
    encoding = columns(known, booster.num_feature())
    return Opened(written(graph, asked), reference, source, labels, (), encoding)
