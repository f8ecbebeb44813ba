"""LSTM over token ids: Embedding → LSTM → Dense(sigmoid), the classic Keras text classifier.

Parameters: `vocabulary` (ids are below it), `length` (ids a row), `embedding`, `units`, `batch`,
`epochs` (at the most), `patience` (epochs without a better validation loss before it stops),
`seed`. With one seed and one TensorFlow build the weights come out the same on every run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from models.families.kinds import Fitted, Rows
from models.trained import Tell


def build(parameters: Mapping[str, Any]) -> keras.Model:
    """The untrained model: int32 "tokens" [n, length] → float32 "score" [n, 1]."""
    return keras.Sequential(
        [
            keras.layers.Input((parameters["length"],), dtype="int32", name="tokens"),
            keras.layers.Embedding(parameters["vocabulary"], parameters["embedding"], name="embedding"),
            keras.layers.LSTM(parameters["units"], name="lstm"),
            keras.layers.Dense(1, activation="sigmoid", name="score"),
        ],
        name="lstm_classifier",
    )


def fit(parameters: Mapping[str, Any], train: Rows, validation: Rows, tell: Tell) -> Fitted:
    """Fit with Adam on binary cross-entropy; keeps the weights of the best validation loss.

    Inputs are int arrays [n, length], targets 0 or 1.
    """
    keras.utils.set_random_seed(parameters["seed"])
    tf.config.experimental.enable_op_determinism()
    model = build(parameters)
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    stop = keras.callbacks.EarlyStopping(
        "val_loss", patience=parameters["patience"], restore_best_weights=True
    )
    history = model.fit(
        train.inputs,
        train.targets,
        validation_data=(validation.inputs, validation.targets),
        batch_size=parameters["batch"],
        epochs=parameters["epochs"],
        callbacks=[stop, _Telling(tell)],
        verbose=0,
    ).history
    facts = {
        "epochs": len(history["loss"]),
        "best_epoch": stop.best_epoch + 1,
        "weights": model.count_params(),
    }
    return Fitted(model, facts)


class _Telling(keras.callbacks.Callback):  # type: ignore[misc]
    """Turns Keras' callbacks into progress."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        epochs, steps = self.params["epochs"], self.params["steps"]
        done = self._epoch * steps + batch + 1
        self._tell(f"Epoch {self._epoch + 1} of at most {epochs}", done, epochs * steps)
