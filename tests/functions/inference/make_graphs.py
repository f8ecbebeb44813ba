"""Writes small .tflite files into a folder, with TensorFlow: one for each way in which graphs differ.

Run in a process of its own (`python make_graphs.py FOLDER`); conftest.py does, once a session.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

FOLDER = Path(sys.argv[1])
RANDOM = np.random.default_rng(20)
SAVED = str(FOLDER / "saved_model")
FLOAT, INT = tf.float32, tf.int32


def weights(*shape):
    return tf.Variable(RANDOM.normal(0, 0.3, shape).astype("float32"))


def spec(name, shape, dtype=FLOAT):
    return tf.TensorSpec(shape, dtype, name=name)


def graph(*specs):
    return lambda function: tf.function(function, input_signature=specs)


def write(name, module, configure=None, **signatures):
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, SAVED, signatures=signatures, options=options)
    converter = tf.lite.TFLiteConverter.from_saved_model(SAVED, signature_keys=list(signatures))
    if configure:
        configure(converter)
    (FOLDER / f"{name}.tflite").write_bytes(converter.convert())


def dynamic_range(converter):
    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def loop(body, start, width, steps):
    """A while loop over state of a free batch."""
    shapes = [tf.TensorShape([])] + [tf.TensorShape([None, width])] * len(start)
    return tf.while_loop(lambda t, *_: t < steps, body, [0, *start], shape_invariants=shapes)[1:]


m = tf.Module()

# Recurrent: a loop, with a free batch, in front of the output.
m.embedding, m.kernel, m.recurrent = weights(1000, 16), weights(16, 64), weights(16, 64)
m.dense, m.bias = weights(16, 1), weights(1)


@graph(spec("tokens", [None, 20], INT))
def lstm(tokens):
    embedded = tf.gather(m.embedding, tokens)
    hoisted = tf.transpose(tf.linalg.matmul(embedded, m.kernel), [1, 0, 2])
    zeros = tf.zeros([tf.shape(tokens)[0], 16])

    def step(t, h, c):
        i, f, g, o = tf.split(tf.gather(hoisted, t) + tf.matmul(h, m.recurrent), 4, axis=1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        return t + 1, tf.sigmoid(o) * tf.tanh(c), c

    h, _ = loop(step, [zeros, zeros], 16, 20)
    return {"score": tf.sigmoid(tf.matmul(h, m.dense) + m.bias)}


write("lstm", m, predict=lstm)
write("lstm_dynamic_range", m, dynamic_range, predict=lstm)

# A loop's state as the output itself, and with dense layers (XNNPACK's) behind it.
m.square = weights(4, 4)


@graph(spec("x", [None, 4]))
def loop_output(x):
    start = x + tf.zeros([tf.shape(x)[0], 4])
    (h,) = loop(lambda t, h: (t + 1, tf.tanh(tf.matmul(h, m.square))), [start], 4, 3)
    deep = tf.nn.relu(tf.matmul(tf.nn.relu(tf.matmul(h, m.square) + 0.1), m.square) + 0.1)
    return {"state": h, "deep": tf.nn.softmax(deep)}


write("loop_output", m, predict=loop_output)

# Convolution, in float and in full int8.
m.filters, m.classes = weights(3, 3, 1, 8), weights(128, 10)


@graph(spec("image", [None, 8, 8, 1]))
def cnn(image):
    hidden = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(image, m.filters, 1, "SAME")), 2, 2, "SAME")
    return {"probabilities": tf.nn.softmax(tf.matmul(tf.reshape(hidden, [-1, 128]), m.classes))}


def full_int8(converter):
    dynamic_range(converter)
    rows = RANDOM.normal(size=(50, 1, 8, 8, 1)).astype("float32")
    converter.representative_dataset = lambda: ({"image": row} for row in rows)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8


write("cnn", m, predict=cnn)
write("cnn_int8", m, full_int8, predict=cnn)

# An attention block, free in batch and in length.
m.query, m.key, m.value = weights(16, 16), weights(16, 16), weights(16, 16)


@graph(spec("tokens", [None, None], INT))
def attention(tokens):
    x = tf.gather(m.embedding, tokens)
    q, k, v = (tf.linalg.matmul(x, w) for w in (m.query, m.key, m.value))
    scores = tf.linalg.matmul(q, k, transpose_b=True) / 4.0
    return {"vectors": tf.reduce_mean(tf.linalg.matmul(tf.nn.softmax(scores), v), axis=1)}


write("attention", m, predict=attention)

# A forest: walks of gathers.
nodes = 63
m.feature = tf.Variable(RANDOM.integers(0, 10, 8 * nodes).astype("int32"))
m.threshold = weights(8 * nodes)
children = [t * nodes + min(2 * n + 1, nodes - 2) for t in range(8) for n in range(nodes)]
m.left = tf.Variable(np.array(children, "int32"))
m.leaf = weights(8 * nodes, 3)


@graph(spec("x", [None, 10]))
def forest(x):
    roots = tf.constant([[t * nodes for t in range(8)]])
    index = tf.tile(roots, tf.stack([tf.shape(x)[0], 1]))
    for _ in range(5):
        value = tf.gather(x, tf.gather(m.feature, index), batch_dims=1)
        index = tf.gather(m.left, index) + tf.cast(value > tf.gather(m.threshold, index), INT)
    return {"votes": tf.reduce_mean(tf.gather(m.leaf, index), axis=1)}


write("forest", m, predict=forest)


# Two signatures on the same weights.
@graph(spec("x", [None, 4]), spec("baseline", [None, 4]))
def explain(x, baseline):
    return {"attributions": (x - baseline) * tf.matmul(x, m.square)}


@graph(spec("x", [None, 4]))
def predict(x):
    return {"y": tf.matmul(x, m.square)}


write("two_signatures", m, predict=predict, explain=explain)


# Several tensors of several types, whose names sort differently from their order.
@graph(spec("zeta", [None, 3]), spec("alpha", [None], tf.int64), spec("mask", [None, 3], tf.bool))
def several(zeta, alpha, mask):
    signed = tf.where(mask, zeta, -zeta)
    total = tf.reduce_sum(signed, 1) + tf.cast(alpha, FLOAT)
    return {"total": total, "big": alpha * 3_000_000_000, "unset": tf.logical_not(mask)}


write("several", m, predict=several)


@graph(spec("x", [2, 3]))
def fixed(x):
    return {"y": x * 2.0, "constant": tf.constant([1.0, 2.0])}


write("fixed_batch", m, predict=fixed)


@graph(spec("x", []))
def scalar(x):
    return {"y": x * 2.0}


write("scalar", m, predict=scalar)


# Outputs whose first dimension isn't the batch: known from the shapes, and known from the data only.
@graph(spec("x", [None, 4]))
def more_rows(x):
    return {"y": tf.reshape(x * 2.0, [-1, 2])}


@graph(spec("x", [None]))
def positives(x):
    return {"index": tf.where(x > 0)[:, 0], "repeated": tf.repeat(x, tf.cast(tf.abs(x) * 2, INT))}


write("more_rows", m, predict=more_rows)
write("data_dependent", m, predict=positives)


# What the binding hands to the Interpreter: shared tensors, and a recurrent layer that keeps its state.
@graph(spec("x", [None, 4]))
def shared(x):
    return {"same": x, "one": x + 1.0, "another": x + 1.0}


write("shared_tensors", m, predict=shared)

constants = [tf.constant(v) for v in (m.embedding, m.kernel, m.recurrent, weights(64))]


def lstm_layer(inputs, init_h, init_c, kernel, recurrent_kernel, bias):
    h, c, outputs = init_h, init_c, []
    for x in tf.unstack(tf.transpose(inputs, [1, 0, 2])):
        i, f, g, o = tf.split(tf.matmul(x, kernel) + tf.matmul(h, recurrent_kernel) + bias, 4, axis=1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        h = tf.sigmoid(o) * tf.tanh(c)
        outputs.append(h)
    return h, tf.stack(outputs, 1), h, c, tf.constant(1.0)


# These attributes are those of Keras' own layer, by which the converter knows what to fuse.
fusable = {
    "api_implements": "lstm_0",
    "api_preferred_device": "CPU",
    "time_major": False,
    "go_backwards": False,
}
layer = tf.function(lstm_layer, autograph=False, experimental_attributes=fusable)


@graph(spec("tokens", [1, 20], INT))
def fused(tokens):
    table, *layer_weights = constants
    zeros = tf.zeros([1, 16])
    return {"h": layer(tf.gather(table, tokens), zeros, zeros, *layer_weights)[0]}


converter = tf.lite.TFLiteConverter.from_concrete_functions([fused.get_concrete_function()], m)
(FOLDER / "fused_lstm.tflite").write_bytes(converter.convert())

# No signature at all.
plain = tf.function(lambda x: x * 2.0 + 1.0, input_signature=[spec("x", [None, 4])])
converter = tf.lite.TFLiteConverter.from_concrete_functions([plain.get_concrete_function()])
(FOLDER / "no_signature.tflite").write_bytes(converter.convert())

# What can't be served.
m.calls = tf.Variable([0.0])


@graph(spec("x", [None, 4]))
def counting(x):
    m.calls.assign_add([1.0])
    return {"y": x + m.calls}


def variables(converter):
    converter.experimental_enable_resource_variables = True


@graph(spec("x", [None, 4]))
def chance(x):
    return {"y": x + tf.random.normal(tf.shape(x))}


@graph(spec("x", [None, 4], tf.string))
def text(x):
    return {"y": x}


write("counting", m, variables, predict=counting)
write("chance", m, predict=chance)
write("text", m, predict=text)
