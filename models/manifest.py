"""The manifest: everything that is known of one published model version, in one JSON file.

It lies beside `model.tflite` and is the only thing that training and serving share. Serving
trusts no file that the manifest does not name with its SHA-256. The module is on the hot path:
standard library only, and of that only what starts fast (no dataclasses, no pathlib).
"""

from __future__ import annotations

from models.digests import sha256
from models.strict_json import loads
from models.typed import Any, NamedTuple

MANIFEST_FILE = "manifest.json"
MODEL_FILE = "model.tflite"
FORMAT = 1

DTYPES = ("float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool", "string")


class ManifestError(ValueError):
    """A manifest that can't be read, or a file that is not the one its manifest names."""


class TensorSpec(NamedTuple):
    """One tensor of a signature; -1 in `shape` is a dimension that the caller is free to choose."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Signature(NamedTuple):
    """The tensors one entry point of the graph takes and gives, in the graph's own order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class FileRef(NamedTuple):
    """A file of the artifact, by its name in the artifact's folder."""

    name: str
    sha256: str
    size: int


class Preprocess(NamedTuple):
    """How a request value becomes the graph's input tensors: a kind of `functions/preprocess`."""

    kind: str
    parameters: dict[str, Any]
    files: tuple[FileRef, ...]


class Gate(NamedTuple):
    """The limits a converted model has to stay within to be published."""

    min_rows: int
    min_agreement: float
    max_diff: float


class Parity(NamedTuple):
    """What comparing the converted model with its source gave, row by row, and the gate it passed."""

    rows: int
    agreement: float
    max_diff: float
    gate: Gate


class Manifest(NamedTuple):
    """One model version. `version` is "" until the registry gives it a number.

    `labels` are in the order of the output's classes (two labels for a single sigmoid output:
    below the threshold of 0.5, above it). `max_instances` is the largest batch one request may
    carry. `recipe` is the digest of everything the artifact was built from: an equal recipe
    need not be built again.
    """

    name: str
    version: str
    family: str
    task: str
    signatures: dict[str, Signature]
    preprocess: Preprocess
    labels: tuple[str, ...]
    max_instances: int
    source: dict[str, str]
    quantization: str
    parity: Parity
    training: dict[str, Any]
    licence: str
    model: FileRef
    recipe: str

    @property
    def files(self) -> tuple[FileRef, ...]:
        """Every file of the artifact but the manifest itself."""
        return (self.model, *self.preprocess.files)

    def to_json(self) -> bytes:
        """The manifest as indented UTF-8 JSON, keys in the order of the fields."""
        import json  # who writes one has time

        document = {"format": FORMAT, **_plain(self)}
        return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _parsed(data: bytes) -> dict[str, Any]:
    """Parse strictly, or with Infinity, which is written where a refused candidate differed without end."""
    try:
        document: dict[str, Any] = loads(data)
    except ValueError:
        import json

        document = json.loads(data)
    return document


def from_json(data: bytes) -> Manifest:
    """Read a manifest; ManifestError says what was expected where it is not one."""
    try:
        document = _parsed(data)
        if document["format"] != FORMAT:
            raise ManifestError(
                f"manifest format {document['format']!r}: this Payphone reads format {FORMAT}"
            )
        signatures = {key: _signature(value) for key, value in document["signatures"].items()}
        preprocess = document["preprocess"]
        parity = document["parity"]
        return Manifest(
            name=_text(document["name"]),
            version=_text(document["version"]),
            family=_text(document["family"]),
            task=_text(document["task"]),
            signatures=signatures,
            preprocess=Preprocess(
                _text(preprocess["kind"]),
                dict(preprocess["parameters"]),
                tuple(_file(f) for f in preprocess["files"]),
            ),
            labels=tuple(_text(label) for label in document["labels"]),
            max_instances=int(document["max_instances"]),
            source={str(k): str(v) for k, v in document["source"].items()},
            quantization=_text(document["quantization"]),
            parity=Parity(
                int(parity["rows"]),
                float(parity["agreement"]),
                float(parity["max_diff"]),
                Gate(**parity["gate"]),
            ),
            training=dict(document["training"]),
            licence=_text(document["licence"]),
            model=_file(document["model"]),
            recipe=_text(document["recipe"]),
        )
    except ManifestError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ManifestError(f"not a manifest: {type(error).__name__} at {error}") from error


def describe_file(name: str, data: bytes) -> FileRef:
    """The reference that makes `data` trusted under `name`."""
    return FileRef(name, sha256(data).hexdigest(), len(data))


def verify(ref: FileRef, data: bytes) -> bytes:
    """Give `data` back if it is the file that `ref` names, else raise ManifestError."""
    if len(data) != ref.size:
        raise ManifestError(f"{ref.name} has {len(data)} bytes, its manifest names {ref.size}")
    if sha256(data).hexdigest() != ref.sha256:
        raise ManifestError(f"{ref.name} is not the file its manifest names (SHA-256 differs)")
    return data


def _plain(value: Any) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {key: _plain(item) for key, item in value._asdict().items()}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ManifestError(f"a manifest text is {value!r}, not a string")
    return value


def _signature(value: dict[str, Any]) -> Signature:
    return Signature(tuple(map(_tensor, value["inputs"])), tuple(map(_tensor, value["outputs"])))


def _tensor(value: dict[str, Any]) -> TensorSpec:
    if value["dtype"] not in DTYPES:
        raise ManifestError(
            f"tensor {value['name']!r} has the type {value['dtype']!r}, none of {', '.join(DTYPES)}"
        )
    return TensorSpec(_text(value["name"]), value["dtype"], tuple(int(d) for d in value["shape"]))


def _file(value: dict[str, Any]) -> FileRef:
    name = _text(value["name"])
    if "/" in name or "\\" in name or name.startswith(".") or not name:
        raise ManifestError(f"a manifest names the file {name!r}: a plain file name was expected")
    return FileRef(name, _text(value["sha256"]), int(value["size"]))
