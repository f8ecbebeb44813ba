"""Train, convert, prove and publish the benchmark's model with the product's own code.

In a process of its own, for TensorFlow: `python -m tests.benchmarks.iris_training FOLDER`.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
from sklearn.datasets import load_iris

from functions.inference import engine
from infra.proof import answer
from infra.workspace import Workspace
from models.convert import keras as source
from models.convert import tflite
from models.manifest import MODEL_FILE, Gate, Manifest, Parity, Preprocess, describe_file
from models.parity import compare, require
from models.quantize import QUANTIZATIONS
from tests.benchmarks.iris import NAME

TASK = "multiclass-classification"


def train():
    """The fitted model, its rows and its labels."""
    keras.utils.set_random_seed(4)
    data = load_iris()
    rows = data.data.astype("float32")
    model = keras.Sequential(
        [
            keras.layers.Input((4,), name="measures"),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(3, activation="softmax", name="scores"),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(0.02), loss="sparse_categorical_crossentropy")
    model.fit(rows, data.target, epochs=60, verbose=0)
    return model, rows, tuple(map(str, data.target_names))


def publish(workspace):
    model, rows, labels = train()
    graph = source.graph(model)
    with TemporaryDirectory() as saved:
        tflite.save(graph, Path(saved))
        data = tflite.write(graph, Path(saved), QUANTIZATIONS["float32"])
    gate = Gate(min_rows=len(rows), min_agreement=1.0, max_diff=1e-5)
    draft = Manifest(
        name=NAME,
        version="",
        family="perceptron",
        task=TASK,
        signatures=tflite.signatures(data),
        preprocess=Preprocess("none", {}, ()),
        labels=labels,
        max_instances=64,
        source=source.versions(),
        quantization="float32",
        parity=Parity(0, 0.0, 0.0, gate),
        training={},
        licence="CC BY 4.0 (the data)",
        model=describe_file(MODEL_FILE, data),
        recipe="benchmark",
    )
    served = engine.load(draft, lambda name: data)
    parity, disagreed = compare(
        lambda values: model.predict(np.asarray(values), verbose=0),
        lambda values: answer(served, values),
        rows.tolist(),
        gate,
        TASK,
    )
    require(parity, disagreed)
    workspace.registry().publish(draft._replace(parity=parity), {MODEL_FILE: data})


if __name__ == "__main__":
    publish(Workspace(Path(sys.argv[1])))
