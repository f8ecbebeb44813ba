"""The sources a model can come from, by name. A new source is one file and one line here.

Sources are imported by name when they are needed: each brings its framework with it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol, cast

from models.convert.tflite import Graph

SOURCES = {
    "factorization": "models.convert.factorization",
    "keras": "models.convert.keras",
    "lightgbm": "models.convert.lightgbm",
    "scikit-learn": "models.convert.scikit.source",
    "tensorflow": "models.convert.module",
    "xgboost": "models.convert.xgboost",
}


class Source(Protocol):
    """What a source's file offers."""

    def graph(self, model: Any) -> Graph:
        """Express a trained model in TensorFlow ops that have a LiteRT builtin.

        The signature "predict" has named inputs and outputs and a free batch dimension.
        ConversionError where the model holds something that can't be expressed.
        """

    def versions(self) -> dict[str, str]:
        """The framework and what else made the graph, name → version, for the manifest."""


def source(name: str) -> Source:
    """Import a source; KeyError for one we don't have."""
    return cast(Source, import_module(SOURCES[name]))
