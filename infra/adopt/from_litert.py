"""A ready .tflite of anyone's making."""

from __future__ import annotations

from infra.adopt.opened import Asked, Opened
from models.convert.errors import ConversionError
from models.convert.ready import adapt, bundled_labels


def open_model(asked: Asked) -> Opened:
    """Make its one signature servable; what it answers with LiteRT's stock Interpreter is what holds."""
    data = asked.path.read_bytes()
    try:
        adapted = adapt(data, signature=asked.signature, raw=asked.raw)
    except (LookupError, ValueError, TypeError, AttributeError) as error:  # what damage makes of a graph
        raise ConversionError("the file is damaged or cut off: copy it again from its source") from error
    source = {"framework": "litert", "file": asked.path.name}
    return Opened({"as brought": adapted.data}, None, source, bundled_labels(data), adapted.notes)
