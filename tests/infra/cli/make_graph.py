"""Writes small graphs, as a child process so that TensorFlow stays out of the tests.

The first is a classifier of two numbers: its scores are softmax(x - y, y - x), so the first label wins where
x > y. The second, wide.tflite beside it, gives the mean of a hundred numbers.
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


class Mean(tf.Module):
    """The mean of many numbers."""

    @tf.function(input_signature=[tf.TensorSpec([None, 100], tf.float32, name="numbers")])
    def predict(self, numbers):
        """One number a row."""
        return {"mean": tf.reduce_mean(numbers, axis=1)}


def write(model, target):
    """Convert a module's `predict` into a file."""
    saved = str(target.with_suffix(".saved"))
    tf.saved_model.save(model, saved, signatures={"predict": model.predict.get_concrete_function()})
    converter = tf.lite.TFLiteConverter.from_saved_model(saved, signature_keys=["predict"])
    target.write_bytes(converter.convert())


first = Path(sys.argv[1])
write(Compare(), first)
write(Mean(), first.with_name("wide.tflite"))
