"""Files as people bring them, each with what its own framework answers. Run as a child: needs TensorFlow.

python make_brought.py FOLDER → models, and <name>.npz with "in:…" and "out:…" arrays
"""

import io
import os
import sys
import zipfile
from pathlib import Path

import flatbuffers
import joblib
import keras
import lightgbm
import numpy as np
import skops.io
import tensorflow as tf
import xgboost
from ai_edge_litert import schema_py_generated as schema
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

FOLDER = Path(sys.argv[1])
L = keras.layers
random = np.random.default_rng(0)
keras.utils.set_random_seed(0)


def keep(name, inputs, outputs):
    arrays = {f"in:{key}": value for key, value in inputs.items()}
    np.savez(FOLDER / f"{name}.npz", **arrays, **{f"out:{key}": value for key, value in outputs.items()})


def spec(name, shape, dtype=tf.float32):
    return tf.TensorSpec(shape, dtype, name=name)


def write(name, functions, configure=None, module=None):
    folder = str(FOLDER / f"{name}.saved")
    tf.saved_model.save(module or tf.Module(), folder, signatures=functions)
    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(functions))
    if configure:
        configure(converter)
    data = converter.convert()
    (FOLDER / f"{name}.tflite").write_bytes(data)
    return data


def function(call, *specs):
    return tf.function(call, input_signature=specs).get_concrete_function()


# Keras: images through convolutions, and a sequence through a recurrent layer.
image = random.uniform(size=(40, 8, 8, 1)).astype("float32")
cnn = keras.Sequential(
    [
        L.Input((8, 8, 1), name="image"),
        L.Conv2D(4, 3, activation="relu"),
        L.Flatten(),
        L.Dense(3, activation="softmax", name="scores"),
    ]
)
cnn.save(FOLDER / "cnn.keras")
cnn.save(FOLDER / "cnn.h5")
cnn.export(FOLDER / "cnn", verbose=False)
keep("cnn", {"image": image}, {"scores": cnn.predict(image, verbose=0)})
steps = random.normal(size=(10, 6, 2)).astype("float32")
rnn = keras.Sequential([L.Input((6, 2), name="steps"), L.LSTM(4), L.Dense(1, name="value")])
rnn.save(FOLDER / "rnn.keras")
rnn.export(FOLDER / "rnn", verbose=False)
keep("rnn", {"steps": steps}, {"value": rnn.predict(steps, verbose=0)})
keras.Sequential([L.Input((2,)), L.Lambda(lambda x: x * 2)]).save(FOLDER / "lambda.keras")


@keras.saving.register_keras_serializable()
class Own(L.Layer):
    def call(self, x):
        return x * 2


keras.Sequential([L.Input((2,)), Own()]).save(FOLDER / "own_layer.keras")
square = L.Input((2, 2), name="square")
keras.Model(square, keras.ops.inv(square)).save(FOLDER / "inverse.keras")


# The same CNN in full int8, to its inputs and outputs: int8 with signature, uint8 without.
def full_int8(kind):
    def configure(converter):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ({"image": row[None]} for row in image)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = kind

    return configure


@tf.function(input_signature=[spec("image", [1, 8, 8, 1])])
def one(image):
    return {"scores": cnn(image)}


module = tf.Module()
module.weights = [variable.value for variable in cnn.variables]
write("int8", {"serving_default": one.get_concrete_function()}, full_int8(tf.int8), module)


data = write("uint8", {"serving_default": one.get_concrete_function()}, full_int8(tf.uint8), module)
parsed = schema.ModelT.InitFromPackedBuf(data, 0)
parsed.signatureDefs = None
builder = flatbuffers.Builder(len(data))
builder.Finish(parsed.Pack(builder), b"TFL3")
(FOLDER / "uint8_unsigned.tflite").write_bytes(builder.Output())

# Ready files: labels behind the graph, several inputs and outputs, two signatures, no signature.
labelled = write(
    "bare", {"serving_default": function(lambda x: {"p": tf.nn.softmax(x)}, spec("x", [None, 3]))}
)
buffer = io.BytesIO()
with zipfile.ZipFile(buffer, "w") as archive:
    archive.writestr("labels.txt", "cat\ndog\nowl\n")
(FOLDER / "labelled.tflite").write_bytes(labelled + buffer.getvalue())
a, b = random.normal(size=(5, 2)).astype("float32"), random.integers(0, 9, (5, 3)).astype("int32")
write(
    "several",
    {
        "serving_default": function(
            lambda a, b: {
                "sum": tf.reduce_sum(a, 1) + tf.cast(tf.reduce_sum(b, 1), tf.float32),
                "twice": b * 2,
            },
            spec("a", [None, 2]),
            spec("b", [None, 3], tf.int32),
        )
    },
)
keep("several", {"a": a, "b": b}, {"sum": a.sum(1) + b.sum(1), "twice": b * 2})
double = function(lambda x: {"y": x * 2.0}, spec("x", [None, 2]))
triple = function(lambda x: {"y": x * 3.0}, spec("x", [None, 2]))
write("two", {"double": double, "triple": triple})
converter = tf.lite.TFLiteConverter.from_concrete_functions([double])
(FOLDER / "unsigned.tflite").write_bytes(converter.convert())
free = function(lambda x: {"mean": tf.reduce_mean(x, axis=[1, 2])}, spec("x", [None, None, 3]))
write("free", {"serving_default": free})
write("batch_of_two", {"serving_default": function(lambda x: {"y": x + 1.0}, spec("x", [2, 3]))})
write("scalar", {"serving_default": function(lambda x: {"y": x + 1.0}, spec("x", []))})
uneven = function(lambda x, y: {"z": x + tf.reduce_sum(y)}, spec("x", [1, 2]), spec("y", [3]))
write("uneven", {"serving_default": uneven})
whole = function(lambda x: {"mean": tf.reduce_mean(x)}, spec("x", [None, 3]))
write("one_for_all", {"serving_default": whole})
large = function(lambda x: {"y": tf.reduce_mean(x, axis=[1, 2])}, spec("x", [None, 1100, 1000]))
write("large", {"serving_default": large})


# A SavedModel that writes a file when it is loaded.
class Writing(tf.Module):
    def __init__(self):
        super().__init__()
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], [1]), 0)

    @tf.function(input_signature=[spec("x", [None, 2])])
    def __call__(self, x):
        tf.io.write_file(str(FOLDER / "written-by-the-model"), "here")
        return {"y": x}


writing = Writing()
tf.saved_model.save(writing, FOLDER / "writing", signatures={"serving_default": writing.__call__})


# What can't be served.
def flex(converter):
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]


def custom(converter):
    converter.allow_custom_ops = True


inverse = function(lambda x: {"y": tf.linalg.inv(x)}, spec("x", [None, 2, 2]))
write("flex", {"serving_default": inverse}, flex)
write("custom", {"serving_default": inverse}, custom)

# scikit-learn and the boosters.
iris = load_iris()
rows = iris.data.astype("float32")
names = iris.target_names[iris.target]
forest = RandomForestClassifier(20, random_state=0).fit(rows, names)
joblib.dump(forest, FOLDER / "forest.joblib")
skops.io.dump(forest, FOLDER / "forest.skops")
keep("forest", {"features": rows}, {"scores": forest.predict_proba(rows)})
own = make_pipeline(FunctionTransformer(os.path.basename), LogisticRegression()).set_params(
    functiontransformer__check_inverse=False
)
skops.io.dump(own, FOLDER / "own_code.skops")
texts = ["a good film", "a bad film", "good acting, good story", "boring and bad"]
reviewer = make_pipeline(TfidfVectorizer(), LinearSVC()).fit(texts * 5, ["pro", "contra"] * 10)
skops.io.dump(reviewer, FOLDER / "reviewer.skops")
margin = reviewer.decision_function(texts)
keep("reviewer", {"text": np.array(texts)}, {"decision": np.stack([-margin, margin], axis=1)})
booster = xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(rows, iris.target)
booster.get_booster().feature_names = ["sepal_l", "sepal_w", "petal_l", "petal_w"]
for file in ("booster.json", "booster.ubj"):
    booster.save_model(FOLDER / file)
joblib.dump(booster, FOLDER / "booster.pkl")
keep("booster", {"features": rows}, {"scores": booster.predict_proba(rows)})
light = lightgbm.LGBMRegressor(n_estimators=5, verbosity=-1, n_jobs=1).fit(rows[:, :3], rows[:, 3])
light.booster_.save_model(FOLDER / "light.txt")
keep("light", {"features": rows[:, :3]}, {"values": light.predict(rows[:, :3])})

# Rows that lack values, for models that take them and one that doesn't.
holes = np.where(np.random.default_rng(5).random(rows.shape) < 0.2, np.float32(np.nan), rows)
imputed = make_pipeline(SimpleImputer(), LogisticRegression(max_iter=1000)).fit(rows, names)
joblib.dump(imputed, FOLDER / "imputed.joblib")
joblib.dump(LogisticRegression(max_iter=1000).fit(rows, names), FOLDER / "logistic.joblib")
for name, model in {"forest": forest, "booster": booster, "imputed": imputed}.items():
    keep(f"holes in {name}", {"features": holes}, {"scores": model.predict_proba(holes)})
keep("holes in light", {"features": holes[:, :3]}, {"values": light.predict(holes[:, :3])})
