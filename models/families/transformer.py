"""Transformer encoder over token ids (Vaswani et al. 2017), padding masked, its mean → Dense(sigmoid).

Parameters: `vocabulary` (ids are below it; 0 is padding), `length` (ids a row), `width`, `heads`,
`feedforward`, `blocks`, `dropout`, and those of `fitting`. Positions are learnt.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import keras

from models.families.fitting import fit_keras
from models.families.kinds import Fitted, Rows
from models.trained import Tell

L = keras.layers


def build(parameters: Mapping[str, Any]) -> keras.Model:
    """The untrained model: int32 "tokens" [n, length] → float32 "score" [n, 1]."""
    length, width = parameters["length"], parameters["width"]
    tokens = L.Input((length,), dtype="int32", name="tokens")
    words = L.Embedding(parameters["vocabulary"], width, mask_zero=True, name="words")(tokens)
    places = L.Embedding(length, width, name="places")(keras.ops.arange(length))
    hidden = L.Dropout(parameters["dropout"], name="dropout")(words + places)
    mask = keras.ops.not_equal(tokens, 0)
    for number in range(1, parameters["blocks"] + 1):
        hidden = _block(hidden, mask, parameters, number)
    mean = L.GlobalAveragePooling1D(name="mean")(hidden, mask=mask)
    score = L.Dense(1, activation="sigmoid", name="score")(mean)
    return keras.Model(tokens, score, name="transformer_classifier")


def _block(hidden: Any, mask: Any, parameters: Mapping[str, Any], number: int) -> Any:
    """Attention and feed-forward, each with a residual and a normalisation behind it."""
    width, heads, dropout = parameters["width"], parameters["heads"], parameters["dropout"]
    attention = L.MultiHeadAttention(heads, width // heads, dropout=dropout, name=f"attention_{number}")
    attended = attention(hidden, hidden, attention_mask=keras.ops.expand_dims(mask, 1))
    hidden = L.LayerNormalization(epsilon=1e-6, name=f"normal_{number}a")(hidden + attended)
    inner = L.Dense(parameters["feedforward"], activation="gelu", name=f"inner_{number}")(hidden)
    outer = L.Dropout(dropout)(L.Dense(width, name=f"outer_{number}")(inner))
    return L.LayerNormalization(epsilon=1e-6, name=f"normal_{number}b")(hidden + outer)


def fit(parameters: Mapping[str, Any], train: Rows, validation: Rows, tell: Tell) -> Fitted:
    """Fit on binary cross-entropy. Inputs are int arrays [n, length], targets 0 or 1."""
    return fit_keras(partial(build, parameters), "binary_crossentropy", parameters, train, validation, tell)
