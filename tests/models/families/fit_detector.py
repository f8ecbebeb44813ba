"""Fit the detector on small canvases of scikit-learn's digits. Run as a child: needs TensorFlow.

python fit_detector.py → one line of JSON: how well it finds digits it never saw, and what its conversions do
"""

import json
import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from sklearn.datasets import load_digits

from models.catalog.locate.train import f1
from models.convert import tflite
from models.convert.keras import graph
from models.families import detector
from models.families.kinds import Rows, family
from models.parity import same_finds
from models.quantize import QUANTIZATIONS

SIZE, CLASSES = 32, 3
PARAMETERS = {
    "size": SIZE,
    "scale": 1 / 16,
    "filters": [8, 16, 16, 16, 16],
    "classes": CLASSES,
    "most": 4,
    "threshold": 0.4,
    "batch": 32,
    "epochs": 16,
    "patience": 16,
    "seed": 1,
}
bundled = load_digits()
chosen = bundled.target < CLASSES
images, labels = bundled.images[chosen], bundled.target[chosen]
chance = random.Random(0)


def canvases(first, last, count):
    """Pictures with up to two of the digits first…last, and their boxes."""
    pictures, boxes = np.zeros((count, SIZE, SIZE, 1), "float32"), []
    for picture in pictures:
        inside = []
        for column in range(chance.randrange(3)):
            number = chance.randrange(first, last)
            x, y = column * 16 + chance.randrange(9), chance.randrange(SIZE - 8)
            picture[y : y + 8, x : x + 8, 0] = images[number]
            inside.append((x, y, 8, 8, int(labels[number])))
        boxes.append(inside)
    return pictures, boxes


def rows(pictures, boxes):
    return Rows(pictures, detector.targets(boxes, SIZE // detector.STRIDE, CLASSES))


cut = len(images) * 4 // 5
train, validation, (pictures, truth) = (
    canvases(0, cut, 1500),
    canvases(0, cut, 100),
    canvases(cut, len(images), 150),
)
told = []
fitted = family("detector").fit(PARAMETERS, rows(*train), rows(*validation), lambda *at: told.append(at))
expected = fitted.source.predict(pictures, verbose=0)
result = {"f1": f1(expected, truth), "told": told[-1][1:], "shape": expected.shape[1:], "converted": {}}
made = graph(fitted.source)
with TemporaryDirectory() as saved:
    tflite.save(made, Path(saved))
    for name in ("float32", "dynamic-int8"):
        data = tflite.write(made, Path(saved), QUANTIZATIONS[name])
        run = Interpreter(model_content=data).get_signature_runner("predict")
        found = run(picture=pictures)["finds"]
        same = same_finds(expected.reshape(150, -1), found.reshape(150, -1))
        result["converted"][name] = float(same.mean())
scores = expected[..., 4]
result["found_first"] = bool((scores[:, 1:][scores[:, :-1] == 0] == 0).all())
sys.stdout.write(json.dumps(result) + "\n")
