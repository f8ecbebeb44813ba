"""Convert one Keras model per case and keep Keras' own answers beside it. Run as a child: needs TensorFlow.

python make_cases.py FOLDER → <case>.tflite, <case>.npz, <case>.json (output names), refusals.json
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
import tensorflow as tf

from models.convert import tflite
from models.convert.keras import graph
from models.quantize import QUANTIZATIONS

L = keras.layers
keras.utils.set_random_seed(0)
random = np.random.default_rng(0)
ROWS, STEPS, FEATURES, WORDS = 5, 12, 6, 50
VALUES = random.normal(size=(ROWS, STEPS, FEATURES)).astype("float32")
IDS = random.integers(1, WORDS, (ROWS, STEPS)).astype("int32")
IDS[0, :4] = IDS[1, 8:] = IDS[2, :] = IDS[3, 5] = 0  # padded before, after, wholly, and a hole
ZEROED = np.where(IDS[..., None] == 0, 0, VALUES).astype("float32")


def values(*layers, shape=(STEPS, FEATURES)):
    return keras.Sequential([L.Input(shape, name="values"), *layers])


def tokens(*layers, length=STEPS):
    embedding = L.Embedding(WORDS, 8, mask_zero=True)
    return keras.Sequential([L.Input((length,), dtype="int32", name="tokens"), embedding, *layers])


def several():
    a = L.Input((STEPS, FEATURES), name="a")
    b = L.Input((STEPS,), dtype="int32", name="b")
    last, hidden, carry = L.LSTM(7, return_state=True)(a)
    sequence = L.LSTM(7, return_sequences=True)(L.Embedding(WORDS, 8)(b), initial_state=[hidden, carry])
    return keras.Model([a, b], [L.Dense(2, name="p")(sequence), L.Dense(3, name="q")(last)])


def named():
    a, b = L.Input((STEPS, FEATURES), name="a"), L.Input((3,), name="b")
    return keras.Model({"a": a, "b": b}, L.Dense(2, name="p")(L.Concatenate()([L.GRU(4)(a), b])))


def attention():
    """Self-attention under the mask of the padding, and none of the future."""
    ids = L.Input((STEPS,), dtype="int32", name="tokens")
    words = L.Embedding(WORDS, 8, mask_zero=True)(ids)
    hidden = L.LayerNormalization()(words + L.MultiHeadAttention(2, 4)(words, words, use_causal_mask=True))
    return keras.Model(ids, L.Dense(3, activation="softmax")(L.GlobalAveragePooling1D()(hidden)))


def recurrent_attention():
    """Queries of one recurrence ask what another one remembers."""
    steps = L.Input((STEPS, FEATURES), name="values")
    asked, kept = (
        L.GRU(6, return_sequences=True)(steps),
        L.Bidirectional(L.LSTM(3, return_sequences=True))(steps),
    )
    return keras.Model(
        steps, [L.Flatten(name="a")(L.MultiHeadAttention(3, 2)(asked, kept)), L.GRU(2, name="b")(kept)]
    )


def nested():
    inner = values(L.LSTM(5, return_sequences=True))
    outer = L.Input((STEPS, FEATURES), name="values")
    return keras.Model(outer, L.Dense(2)(L.GRU(4)(inner(outer))))


CASES = {
    "lstm": (lambda: values(L.LSTM(5)), VALUES),
    "lstm-other-activations": (
        lambda: values(L.LSTM(5, use_bias=False, activation="relu", recurrent_activation="hard_sigmoid")),
        VALUES,
    ),
    "lstm-dropout": (lambda: values(L.LSTM(5, dropout=0.2, recurrent_dropout=0.3)), VALUES),
    "lstm-unrolled": (lambda: values(L.LSTM(5, unroll=True)), VALUES),
    "gru": (lambda: values(L.GRU(5)), VALUES),
    "gru-reset-before": (lambda: values(L.GRU(5, reset_after=False)), VALUES),
    "gru-no-bias": (lambda: values(L.GRU(5, use_bias=False)), VALUES),
    "simple-rnn": (lambda: values(L.SimpleRNN(5, return_sequences=True), L.SimpleRNN(4)), VALUES),
    "stacked-cells": (lambda: values(L.RNN([L.LSTMCell(5), L.GRUCell(4)])), VALUES),
    "stacked": (
        lambda: values(
            L.LSTM(5, return_sequences=True),
            L.GRU(4, return_sequences=True, go_backwards=True),
            L.LSTM(3),
        ),
        VALUES,
    ),
    "bidirectional": (
        lambda: values(
            L.Bidirectional(L.LSTM(5, return_sequences=True)), L.Bidirectional(L.GRU(3), merge_mode="sum")
        ),
        VALUES,
    ),
    "bidirectional-masked": (
        lambda: tokens(L.Bidirectional(L.LSTM(5, return_sequences=True)), L.Bidirectional(L.GRU(3))),
        IDS,
    ),
    "masked": (lambda: tokens(L.LSTM(5, return_sequences=True), L.GRU(3)), IDS),
    "masked-backwards": (
        lambda: tokens(L.LSTM(5, return_sequences=True, go_backwards=True), L.GRU(3)),
        IDS,
    ),
    "masking-layer": (lambda: values(L.Masking(0.0), L.LSTM(5)), ZEROED),
    "free-length": (
        lambda: values(L.LSTM(5, return_sequences=True), L.GRU(3), shape=(None, FEATURES)),
        VALUES,
    ),
    "free-length-masked": (
        lambda: tokens(L.Bidirectional(L.LSTM(5, return_sequences=True)), L.GRU(3), length=None),
        IDS,
    ),
    "convolutional-lstm": (
        lambda: values(L.ConvLSTM1D(3, 2), shape=(4, 6, 2)),
        random.normal(size=(ROWS, 4, 6, 2)).astype("float32"),
    ),
    "time-distributed": (
        lambda: values(L.LSTM(5, return_sequences=True), L.TimeDistributed(L.Dense(2))),
        VALUES,
    ),
    "convolutional": (
        lambda: values(
            L.Conv1D(8, 3, activation="relu"),
            L.GlobalMaxPooling1D(),
            L.BatchNormalization(),
            L.Dense(3, activation="softmax"),
        ),
        VALUES,
    ),
    "convolutional-2d": (
        lambda: values(
            L.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
            L.DepthwiseConv2D(3, padding="same"),
            L.SeparableConv2D(5, 2),
            L.MaxPooling2D(2),
            L.Conv2DTranspose(3, 2),
            L.GlobalAveragePooling2D(),
            shape=(12, 10, 3),
        ),
        random.normal(size=(ROWS, 12, 10, 3)).astype("float32"),
    ),
    "attention": (attention, IDS),
    "attention-behind-recurrence": (recurrent_attention, VALUES),
    "recurrence-over-pictures": (
        lambda: values(
            L.TimeDistributed(L.Conv2D(3, 2)), L.TimeDistributed(L.Flatten()), L.GRU(4), shape=(4, 6, 5, 2)
        ),
        random.normal(size=(ROWS, 4, 6, 5, 2)).astype("float32"),
    ),
    "recurrence-of-recurrences": (
        lambda: values(L.TimeDistributed(L.LSTM(3)), L.Bidirectional(L.GRU(2)), shape=(3, 5, 2)),
        random.normal(size=(ROWS, 3, 5, 2)).astype("float32"),
    ),
    "several-inputs-and-outputs": (several, {"a": VALUES, "b": IDS}),
    "inputs-by-name": (named, {"a": VALUES, "b": VALUES[:, 0, :3]}),
    "nested": (nested, VALUES),
}


OUTSIDE = tf.Variable(2.0)


def subclassed():
    class Bare(keras.Model):
        def call(self, inputs):
            return inputs

    model = Bare(name="bare")
    model(VALUES)
    return model


def twice():
    given = L.Input((3,))
    layer = L.Dense(2, name="same")
    return keras.Model(given, [layer(given), layer(given * 2)])


REFUSED = {
    "op-without-builtin": lambda: values(L.Lambda(tf.math.erfc, name="complement"), L.Dense(2)),
    "op-only-flex-has": lambda: values(L.Lambda(lambda t: tf.linalg.inv(t[:, :6]), name="inverting")),
    "stateful": lambda: keras.Sequential(
        [L.Input(batch_shape=(5, STEPS, FEATURES)), L.LSTM(5, stateful=True, name="remembering")]
    ),
    "looked-up": lambda: keras.Sequential(
        [
            L.Input((1,), dtype="string"),
            L.StringLookup(vocabulary=["a", "b"], name="words"),
            L.Embedding(4, 2),
        ]
    ),
    "subclassed": subclassed,
    "outputs-share-a-name": twice,
    "variable-outside": lambda: values(L.Lambda(lambda t: t * OUTSIDE)),
}


def main(folder: Path) -> None:
    for name, (make, given) in CASES.items():
        model = make()
        model.set_weights([w + random.normal(0, 0.3, w.shape).astype("float32") for w in model.get_weights()])
        results = keras.tree.flatten(model.predict(given, verbose=0))
        converted = graph(model)
        with TemporaryDirectory() as saved:
            tflite.save(converted, Path(saved))
            data = tflite.write(converted, Path(saved), QUANTIZATIONS["float32"])
        signature = tflite.signatures(data)["predict"]
        names = (model._functional if isinstance(model, keras.Sequential) else model).output_names
        inputs = given if isinstance(given, dict) else {signature.inputs[0].name: given}
        arrays = {f"in:{key}": value for key, value in inputs.items()}
        arrays |= {f"out:{key}": value for key, value in zip(names, results, strict=True)}
        (folder / f"{name}.tflite").write_bytes(data)
        np.savez(folder / f"{name}.npz", **arrays)
    refusals = {}
    for name, make in REFUSED.items():
        try:
            converted = graph(make())
            with TemporaryDirectory() as saved:
                tflite.save(converted, Path(saved))
                tflite.write(converted, Path(saved), QUANTIZATIONS["float32"])
        except tflite.ConversionError as error:
            refusals[name] = str(error)
    (folder / "refusals.json").write_text(json.dumps(refusals))


main(Path(sys.argv[1]))
