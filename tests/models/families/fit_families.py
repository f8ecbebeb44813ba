"""Fit each Keras family small, convert it, and compare. Run as a child: it needs TensorFlow.

python fit_families.py → one line of JSON: by family accuracy, facts, and by quantization what converting cost
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from sklearn.datasets import load_digits

from models.convert import tflite
from models.convert.keras import graph
from models.families import spectrogram
from models.families.kinds import Rows, family
from models.quantize import QUANTIZATIONS

random = np.random.default_rng(0)
fitting = {"batch": 32, "patience": 3, "seed": 3}


def digits():
    """The 1,797 digits of 8 by 8 pixels that come with scikit-learn."""
    data = load_digits()
    return data.images.astype("float32"), data.target


def tones(count=240):
    """Notes of four pitches, half a second each, with noise."""
    pitch = random.integers(0, 4, count)
    time = np.arange(2000) / 4000
    phase = random.uniform(0, 6, (count, 1))
    wave = np.sin(2 * np.pi * (200 * 1.6 ** pitch[:, None]) * time + phase)
    return (0.3 * wave + random.normal(0, 0.05, wave.shape)).astype("float32"), pitch


images, numbers = digits()
tokens = random.integers(1, 50, (900, 10)).astype("int32")
for row in tokens[::3]:
    row[random.integers(4, 9) :] = 0
seven = (tokens == 7).any(axis=1).astype("int32")
audio, pitch = tones()
image_parameters = {
    **fitting,
    "shape": [8, 8, 1],
    "scale": 1 / 16,
    "filters": [8, 16],
    "kernel": 3,
    "pool": 2,
    "dense": 32,
    "dropout": 0.1,
    "augment": 0.05,
    "classes": 10,
    "epochs": 12,
}
# Eight bits are too few for a spectrum's range, and full int8 pays for plain convolutions only.
TRIED = {
    "cnn": ["float32", "float16", "dynamic-int8", "full-int8"],
    "cnn-series": ["float32", "full-int8"],
    "gru": ["float32", "dynamic-int8"],
    "transformer": ["float32", "dynamic-int8"],
    "spectrogram": ["float32", "float16"],
}
CASES = {
    "cnn": (image_parameters, images[..., None], numbers),
    "cnn-series": (
        {**image_parameters, "shape": [64, 1], "augment": 0, "pool": 4, "epochs": 8},
        images.reshape(-1, 64),
        numbers,
    ),
    "gru": (
        {
            **fitting,
            "features": 8,
            "units": 16,
            "bidirectional": True,
            "dropout": 0.1,
            "classes": 10,
            "epochs": 10,
        },
        images / 16,
        numbers,
    ),
    "transformer": (
        {
            **fitting,
            "vocabulary": 50,
            "length": 10,
            "width": 16,
            "heads": 2,
            "feedforward": 16,
            "blocks": 1,
            "dropout": 0.0,
            "epochs": 25,
        },
        tokens,
        seven,
    ),
    "spectrogram": (
        {
            **fitting,
            "samples": 2000,
            "rate": 4000,
            "window": 128,
            "hop": 64,
            "bands": 20,
            "highest": 2000,
            "noise": 0.05,
            "filters": [8],
            "dropout": 0.1,
            "classes": 4,
            "epochs": 15,
        },
        audio,
        pitch,
    ),
}


def converted(model, inputs, calibration, tried):
    found = {}
    made = graph(model)
    expected = model.predict(inputs, verbose=0)
    with TemporaryDirectory() as saved:
        tflite.save(made, Path(saved))
        for name in tried:
            quantize = QUANTIZATIONS[name]
            data = tflite.write(made, Path(saved), lambda c, q=quantize: q(c, calibration=calibration))
            run = Interpreter(model_content=data).get_signature_runner("predict")
            (name_in,) = run.get_input_details()
            (answer,) = run(**{name_in: inputs}).values()
            label = (lambda s: s.argmax(1)) if answer.shape[1] > 1 else (lambda s: s[:, 0] > 0.5)
            found[name] = {
                "bytes": len(data),
                "max_diff": float(np.abs(answer - expected).max()),
                "agreement": float((label(answer) == label(expected)).mean()),
                "input": np.dtype(run.get_input_details()[name_in]["dtype"]).name,
            }
    return found


results = {}
for case, (parameters, inputs, targets) in CASES.items():
    cut = len(inputs) * 4 // 5
    told: list[tuple] = []
    fitted = family(case.partition("-")[0]).fit(
        parameters,
        Rows(inputs[:cut], targets[:cut]),
        Rows(inputs[cut:], targets[cut:]),
        lambda *at, told=told: told.append(at),
    )
    scores = fitted.source.predict(inputs[cut:], verbose=0)
    guessed = scores.argmax(1) if scores.shape[1] > 1 else scores[:, 0] > 0.5
    name = fitted.source.inputs[0].name
    results[case] = {
        "accuracy": float((guessed == targets[cut:]).mean()),
        "facts": fitted.facts,
        "told": told[-1][1:],
        "converted": converted(fitted.source, inputs[cut:], {name: inputs[:100]}, TRIED[case]),
    }
    if case == "gru":  # padding counts for nothing
        padded = np.concatenate([inputs[cut:], np.zeros_like(inputs[cut:, :3])], axis=1)
        results[case]["padding"] = float(np.abs(fitted.source.predict(padded, verbose=0) - scores).max())
    if case == "spectrogram":
        layers = {layer.name: layer for layer in fitted.source.layers}
        wave = tf.constant(audio[:3])
        ours = layers["fourier"](tf.expand_dims(wave, -1))
        bins = ours.shape[-1] // 2
        power = ours[:, :, :bins] ** 2 + ours[:, :, bins:] ** 2
        theirs = tf.abs(tf.signal.stft(wave, 128, 64)) ** 2
        results[case]["fourier"] = float(tf.reduce_max(tf.abs(power - theirs)) / tf.reduce_max(theirs))
        bands = spectrogram.mel_bands(bins, 20, 4000, 2000)
        reference = tf.signal.linear_to_mel_weight_matrix(20, bins, 4000, 0.0, 2000.0).numpy()
        results[case]["mel"] = [float(np.abs(bands.sum(0) - reference.sum(0)).max()), float(bands.max())]
sys.stdout.write(json.dumps(results) + "\n")
