"""Keras' contestant: the trained model as a `tf.function`, which is its fast way, on one thread.

python -m tests.benchmarks.families.runners.keras MODEL.keras ROWS.npy BATCH …
"""

import sys

import keras
import numpy as np
import tensorflow as tf

from tests.benchmarks.families.runners.turns import rotating, serve


def main(path: str, rows_path: str, *batches: str) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model, rows = keras.models.load_model(path, compile=False), np.load(rows_path)
    traced = tf.function(lambda given: model(given, training=False)).get_concrete_function(
        tf.TensorSpec([None, *rows.shape[1:]], rows.dtype)
    )

    def call(part: object) -> object:
        return traced(part).numpy()

    given = {
        size: [tf.constant(rows[at : at + size]) for at in range(0, len(rows) - size + 1, max(1, size // 4))]
        for size in map(int, batches)
    }
    serve(
        {size: rotating(call, parts) for size, parts in given.items()},
        lambda: np.asarray(call(tf.constant(rows))).tolist(),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
