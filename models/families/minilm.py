"""MiniLM (Wang et al. 2020), a six-layer BERT for sentence vectors, from its published weights.

Nothing is learnt here: the weights come as safetensors, and the layers are BERT's (Devlin et al. 2019)
as ops of TensorFlow, free in batch and length. A text's vector is the mean of its tokens', of length 1.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.convert.tflite import Graph

Tensor = Any

HEADS = 12
EPSILON = 1e-12
NUMPY_TYPE = {"F32": "<f4", "F16": "<f2", "I64": "<i8"}


class MiniLM(tf.Module):  # type: ignore[misc]
    """Token ids and mask, int32 [n, tokens] → unit vectors, float32 [n, width]."""

    def __init__(self, weights: dict[str, NDArray[Any]]) -> None:
        """Take the weights by their names in the file; kernels are turned to have inputs first."""
        super().__init__(name="minilm")
        self.layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("encoder."))
        self.width = weights["embeddings.LayerNorm.weight"].shape[0]
        self.known = {
            name: tf.Variable(value.T if _is_kernel(name) else value, trainable=False, name=name)
            for name, value in weights.items()
            if value.dtype == np.float32
        }

    def encode(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """The vectors, as "embedding"."""
        tokens = tf.shape(ids)[1]
        part = "embeddings"
        places = self.known[f"{part}.position_embeddings.weight"][:tokens]
        hidden = tf.gather(self.known[f"{part}.word_embeddings.weight"], ids) + places
        hidden = self._normal(
            hidden + self.known[f"{part}.token_type_embeddings.weight"][0], f"{part}.LayerNorm"
        )
        kept = tf.cast(mask, tf.float32)
        unseen = tf.expand_dims(tf.expand_dims((1.0 - kept) * -1e9, 1), 1)
        for number in range(self.layers):
            hidden = self._layer(hidden, unseen, f"encoder.layer.{number}")
        kept = tf.expand_dims(kept, -1)
        mean = tf.reduce_sum(hidden * kept, 1) / tf.maximum(tf.reduce_sum(kept, 1), 1.0)
        square = tf.reduce_sum(mean * mean, -1, keepdims=True)
        return {"embedding": mean * tf.math.rsqrt(tf.maximum(square, 1e-24))}

    def graph(self) -> Graph:
        """The signature "predict"."""
        specs = {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in ("ids", "mask")}
        traced = tf.function(self.encode, autograph=False).get_concrete_function(**specs)
        return Graph(self, {"predict": traced}, ())

    def _layer(self, hidden: Tensor, unseen: Tensor, part: str) -> Tensor:
        batch, tokens, size = tf.shape(hidden)[0], tf.shape(hidden)[1], self.width // HEADS

        def heads(name: str) -> Tensor:
            flat = self._dense(hidden, f"{part}.attention.self.{name}")
            return tf.transpose(tf.reshape(flat, [batch, tokens, HEADS, size]), [0, 2, 1, 3])

        scores = tf.matmul(heads("query"), heads("key"), transpose_b=True) * size**-0.5 + unseen
        attended = tf.transpose(tf.matmul(tf.nn.softmax(scores), heads("value")), [0, 2, 1, 3])
        attended = tf.reshape(attended, [batch, tokens, self.width])
        hidden = self._after(attended, hidden, f"{part}.attention.output")
        inner = tf.nn.gelu(self._dense(hidden, f"{part}.intermediate.dense"))
        return self._after(inner, hidden, f"{part}.output")

    def _after(self, inner: Tensor, residual: Tensor, part: str) -> Tensor:
        return self._normal(self._dense(inner, f"{part}.dense") + residual, f"{part}.LayerNorm")

    def _dense(self, hidden: Tensor, part: str) -> Tensor:
        return tf.matmul(hidden, self.known[f"{part}.weight"]) + self.known[f"{part}.bias"]

    def _normal(self, hidden: Tensor, part: str) -> Tensor:
        away = hidden - tf.reduce_mean(hidden, -1, keepdims=True)
        variance = tf.reduce_mean(away * away, -1, keepdims=True)
        scaled = away * tf.math.rsqrt(variance + EPSILON) * self.known[f"{part}.weight"]
        return scaled + self.known[f"{part}.bias"]


def read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays by name: 8 bytes with the header's length, the header as JSON, the raw data."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    return {
        name: np.frombuffer(
            data[slice(*(start + at for at in item["data_offsets"]))], NUMPY_TYPE[item["dtype"]]
        ).reshape(item["shape"])
        for name, item in header.items()
        if not name.startswith("pooler.")
    }


def _is_kernel(name: str) -> bool:
    return name.endswith(("dense.weight", "query.weight", "key.weight", "value.weight"))
