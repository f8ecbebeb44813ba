"""What all Keras families do alike: fit with Adam, keep the best epoch, and tell how far it is.

Parameters: `batch`, `epochs` (at the most), `patience` (epochs without a better validation loss
before it stops), `seed`. With one seed and one TensorFlow build the weights come out the same on
every run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from models.families.kinds import Fitted, Rows
from models.trained import Tell


def fit_keras(
    build: Callable[[], keras.Model],
    loss: str | Callable[[Any, Any], Any],
    parameters: Mapping[str, Any],
    train: Rows,
    validation: Rows,
    tell: Tell,
) -> Fitted:
    """Build after seeding, then fit; the weights are those of the best validation loss."""
    keras.utils.set_random_seed(parameters["seed"])
    tf.config.experimental.enable_op_determinism()
    model = build()
    model.compile(optimizer="adam", loss=loss)
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
