"""TensorFlow's SavedModel folders, of which one signature is served.

A SavedModel is a program: loading one runs the initializers that its maker put into it, and ops exist that
write files or call Python. Such ops are looked for in the bytes of saved_model.pb before it is loaded.
"""

from __future__ import annotations

import re

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from infra.adopt.opened import Arrays, Asked, Opened, unreadable
from models.convert.errors import ConversionError
from models.convert.ready import adapt
from models.convert.tflite import Graph, write
from models.quantize import QUANTIZATIONS

# Ops that reach out of the graph: into files, the process or the network. SaveV2 and RestoreV2 are in every
# SavedModel, but only in functions that loading calls with a path of its own.
REACHING = {
    *("WriteFile", "ReadFile", "MatchingFiles", "PrintV2", "Save", "SaveSlices", "Restore", "RestoreSlice"),
    *("PyFunc", "PyFuncStateless", "EagerPyFunc", "XlaCustomCall", "XlaCustomCallV2", "DebugIdentityV2"),
    *(
        "TextLineDataset",
        "TFRecordDataset",
        "FixedLengthRecordDataset",
        "TFRecordReaderV2",
        "WholeFileReaderV2",
    ),
    *("SaveDataset", "SaveDatasetV2", "LoadDataset", "RpcCall", "RpcClient", "RpcServer", "RpcServerStart"),
}

# Where the converter's refusal speaks of a list of tensors, a layer kept its steps in one.
_LOOP = re.compile(r'"(TensorList\w+):", "([^"@]+?)/\w+@')


def open_model(asked: Asked) -> Opened:
    """Convert the signature asked for, or the only or usual one."""
    if not asked.trust:
        _refuse_reaching(asked)
    try:
        loaded = tf.saved_model.load(str(asked.path))
        known = list(loaded.signatures)
    except Exception as error:  # whatever damage makes of it
        raise ConversionError(unreadable(error, "Export the model again")) from error
    usual = "serving_default" if "serving_default" in known or len(known) != 1 else known[0]
    key = asked.signature or usual
    if key not in known:
        found = ", ".join(known) or "none"
        raise ConversionError(f"the SavedModel has the signatures {found}: choose one with --signature")
    function = loaded.signatures[key]
    graph = Graph(tf.Module(), {key: function}, ())
    try:
        files = {
            name: adapt(write(graph, asked.path, QUANTIZATIONS[name]), signature=key).data
            for name in asked.quantizations
        }
    except ConversionError as error:
        if loop := _LOOP.search(str(error)):
            raise ConversionError(
                f"{loop[2]} is a recurrent layer, whose {loop[1]} has no LiteRT builtin. Bring the model's "
                ".keras or .h5 file: there recurrent layers are found and become loops of builtins"
            ) from error
        raise

    def reference(inputs: Arrays) -> Arrays:
        results = function(**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in results.items()}

    return Opened(files, reference, {"framework": "tensorflow", "tensorflow": tf.__version__})


def _refuse_reaching(asked: Asked) -> None:
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((asked.path / "saved_model.pb").read_bytes())
    except Exception as error:  # protobuf raises its own DecodeError
        raise ConversionError(unreadable(error, "Export the model again")) from error
    for part in saved.meta_graphs:
        bodies = [("the graph", part.graph_def.node)]
        bodies += [(item.signature.name, item.node_def) for item in part.graph_def.library.function]
        for where, nodes in bodies:
            for node in nodes:
                if node.op in REACHING:
                    raise ConversionError(
                        f"its op {node.op} ({node.name} in {where}) reaches for files, Python or a network, "
                        "and loading the model may run it. Export it without that op, or, where you trust "
                        "whoever made it, vouch for the folder with --trust"
                    )
