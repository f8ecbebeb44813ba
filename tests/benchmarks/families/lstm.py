"""The LSTM of the sentiment model, one review a call: the engine beside Keras, which it was converted from.

Both get token ids and run on one thread; Keras as a `tf.function`, which is its fast way. In a process
of its own: `python -m tests.benchmarks.families.lstm STATE ROUNDS` writes one line of JSON.
"""

import json
import sys
from pathlib import Path

import tensorflow as tf

from functions.inference import engine
from functions.inference.codec import tensors_from_instances
from infra.workspace import Workspace
from models.catalog.entries import load_entry
from tests.benchmarks.timing import interleaved

NAME = "sentiment"


def main(state: Path, rounds: int) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    workspace, entry = Workspace(state), load_entry(NAME)
    registry = workspace.registry()
    manifest = registry.manifest(NAME)
    served = engine.load(manifest, lambda file: registry.read(manifest, file))
    trained = entry.trainer().load(entry, workspace.work / NAME / "trained")
    prepared = served.prepare(tensors_from_instances(trained.held_out[:1], served.inputs))
    tokens = tf.reshape(tf.io.decode_raw(prepared[0].data, tf.int32), prepared[0].shape)
    model = trained.source
    keras = tf.function(lambda ids: model(ids, training=False)).get_concrete_function(
        tf.TensorSpec([None, *prepared[0].shape[1:]], tf.int32)
    )
    contestants = {
        f"Payphone ({manifest.quantization})": lambda: served.run(prepared),
        "Keras tf.function": lambda: keras(tokens).numpy(),
    }
    sys.stdout.write(json.dumps(interleaved(contestants, rounds, 300)) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
