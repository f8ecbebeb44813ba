"""The families by name. A new family is one file and one line here.

Families are imported by name when they are needed: each brings its framework with it, and a
process that trains a tree has no use for TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple, Protocol, cast

from models.trained import Tell

FAMILIES = {
    "cnn": "models.families.cnn",
    "detector": "models.families.detector",
    "factorization": "models.families.factorization",
    "forest": "models.families.forest",
    "gru": "models.families.gru",
    "linear-svm": "models.families.linear_svm",
    "lstm": "models.families.lstm",
    "minilm": "models.families.minilm",
    "spectrogram": "models.families.spectrogram",
    "svm": "models.families.svm",
    "transformer": "models.families.transformer",
    "tree": "models.families.tree",
}


class Rows(NamedTuple):
    """Encoded inputs and targets, as the family's framework takes them."""

    inputs: Any
    targets: Any


class Fitted(NamedTuple):
    """A fitted model, as its source kind in `models/convert` takes it, and facts about the fit."""

    source: Any
    facts: dict[str, Any]


class Family(Protocol):
    """What a family's file offers."""

    def fit(self, parameters: Mapping[str, Any], train: Rows, validation: Rows, tell: Tell) -> Fitted:
        """Build a model and fit it. `validation` decides when to stop; it is never held-out data."""


def family(name: str) -> Family:
    """Import a family; KeyError for one we don't have."""
    return cast(Family, import_module(FAMILIES[name]))
