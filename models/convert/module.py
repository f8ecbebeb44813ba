"""A tf.Module that states its own graph: for models that are written in TensorFlow's ops to begin with."""

from __future__ import annotations

from typing import Protocol

import tensorflow as tf

from models.convert.tflite import Graph


class GraphModule(Protocol):
    """What such a module offers."""

    def graph(self) -> Graph:
        """Its signatures, with itself as the owner of their variables."""


def graph(model: GraphModule) -> Graph:
    """Take the graph as it is."""
    return model.graph()


def versions() -> dict[str, str]:
    """TensorFlow."""
    return {"framework": "tensorflow", "tensorflow": tf.__version__}
