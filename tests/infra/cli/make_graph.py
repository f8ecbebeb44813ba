"""Writes a small classifier of two numbers, as a child process so that TensorFlow stays out of the tests.

Its scores are softmax(x - y, y - x), so the first label wins where x > y.
"""

import sys
from pathlib import Path

import tensorflow as tf


class Compare(tf.Module):
    """The larger of two numbers."""

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="pair")])
    def predict(self, pair):
        """Scores of the two labels."""
        difference = tf.reduce_sum(pair * tf.constant([1.0, -1.0]), axis=1)
        return {"scores": tf.nn.softmax(tf.stack([difference, -difference], axis=1))}


target = Path(sys.argv[1])
saved = str(target.with_suffix(".saved"))
model = Compare()
tf.saved_model.save(model, saved, signatures={"predict": model.predict.get_concrete_function()})
converter = tf.lite.TFLiteConverter.from_saved_model(saved, signature_keys=["predict"])
target.write_bytes(converter.convert())
