"""Decode PNGs with libpng through TensorFlow, as the oracle. Run as a child: it needs TensorFlow.

python decode_with_tensorflow.py FOLDER → beside each <n>.png its RGBA as <n>.rgba, empty where it is refused
"""

import sys
from pathlib import Path

import tensorflow as tf

for path in Path(sys.argv[1]).glob("*.png"):
    try:
        rgba = tf.io.decode_png(path.read_bytes(), channels=4).numpy().tobytes()
    except tf.errors.InvalidArgumentError:
        rgba = b""
    path.with_suffix(".rgba").write_bytes(rgba)
