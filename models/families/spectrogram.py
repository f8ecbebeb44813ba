"""CNN over log-mel spectra that are computed in the graph: sound in, classes out.

The short-time Fourier transform is a strided convolution with windowed cosines and sines (Hann), which
LiteRT runs twice as fast as its own FFT; mel bands follow O'Shaughnessy's formula, as HTK has it.
Parameters: `samples` a row, `rate` (Hz), `window` and `hop` (samples), `bands`, `highest` (Hz), `noise` (in
training, its deviation), then `filters`, `dropout` and `classes` of the CNN, and those of `fitting`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from models.families.fitting import fit_keras
from models.families.kinds import Fitted, Rows
from models.trained import Tell

L = keras.layers
FLOOR = 1e-6  # silence is not minus infinity


def build(parameters: Mapping[str, Any]) -> keras.Model:
    """The untrained model: float32 "audio" [n, samples] in -1…1 → float32 "scores" [n, classes]."""
    window, bins = parameters["window"], parameters["window"] // 2 + 1
    audio = L.Input((parameters["samples"],), name="audio")
    fourier = L.Conv1D(2 * bins, window, parameters["hop"], use_bias=False, trainable=False, name="fourier")
    parts = fourier(L.Reshape((-1, 1), name="mono")(audio))
    power = keras.ops.square(parts[:, :, :bins]) + keras.ops.square(parts[:, :, bins:])
    mel = L.Dense(parameters["bands"], use_bias=False, trainable=False, name="mel")
    hidden = keras.ops.log(mel(power) + FLOOR)
    hidden = L.LayerNormalization(axis=(1, 2), name="loudness")(hidden)
    hidden = L.GaussianNoise(parameters["noise"], name="noise")(hidden)
    for number, filters in enumerate(parameters["filters"], 1):
        hidden = L.Conv1D(filters, 5, padding="same", use_bias=False, name=f"convolution_{number}")(hidden)
        hidden = L.BatchNormalization(name=f"normal_{number}")(hidden)
        hidden = L.ReLU(name=f"relu_{number}")(hidden)
        hidden = L.MaxPooling1D(2, name=f"pool_{number}")(hidden)
    hidden = L.GlobalAveragePooling1D(name="mean")(hidden)
    hidden = L.Dropout(parameters["dropout"], name="dropout")(hidden)
    scores = L.Dense(parameters["classes"], activation="softmax", name="scores")(hidden)
    model = keras.Model(audio, scores, name="spectrogram_cnn")
    fourier.set_weights([fourier_kernel(window)])
    mel.set_weights([mel_bands(bins, parameters["bands"], parameters["rate"], parameters["highest"])])
    return model


def fourier_kernel(window: int) -> NDArray[np.float32]:
    """Cosines, then sines, of each bin under a periodic Hann window: [window, 1, 2 · bins]."""
    time, bins = np.arange(window), np.arange(window // 2 + 1)
    angles = 2 * np.pi * np.outer(time, bins) / window
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * time / window)
    waves = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) * hann[:, None]
    return waves[:, None, :].astype("float32")


def mel_bands(bins: int, bands: int, rate: int, highest: float) -> NDArray[np.float32]:
    """Triangles, evenly spaced in mel = 2595 log10(1 + f / 700) from 0 to `highest`: [bins, bands]."""
    corners = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + highest / 700), bands + 2) / 2595) - 1)
    frequency = np.linspace(0, rate / 2, bins)[:, None]
    low, middle, high = corners[:-2], corners[1:-1], corners[2:]
    rising, falling = (frequency - low) / (middle - low), (high - frequency) / (high - middle)
    return np.maximum(0, np.minimum(rising, falling)).astype("float32")


def fit(parameters: Mapping[str, Any], train: Rows, validation: Rows, tell: Tell) -> Fitted:
    """Fit on cross-entropy. Inputs are float32 [n, samples], targets class numbers [n]."""
    loss = "sparse_categorical_crossentropy"
    return fit_keras(partial(build, parameters), loss, parameters, train, validation, tell)
