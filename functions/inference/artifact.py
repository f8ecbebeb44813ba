"""Where a function finds the model it serves: a layer's folder, or S3 where it is too large for one.

Either way the bytes are what the manifest says, or the function does not start.
"""

from __future__ import annotations

from functions.inference import engine
from models.manifest import MANIFEST_FILE, Manifest, ManifestError, from_json

S3 = "s3://"


def load(place: str, name: str, region: str) -> engine.Model:
    """Load model `name` from a folder or from s3://bucket/prefix; ModelLoadError, ManifestError, OSError."""
    if place.startswith(S3):
        return _from_s3(place.removeprefix(S3), name, region)
    return engine.load(_manifest(_read(place, MANIFEST_FILE), name, place), lambda file: _read(place, file))


def _from_s3(place: str, name: str, region: str) -> engine.Model:
    from functions.aws.s3 import Bucket  # only for models that no layer can hold

    bucket_name, _, prefix = place.rstrip("/").partition("/")
    bucket = Bucket(bucket_name, region, f"{prefix}/")
    manifest = _manifest(bucket.get(MANIFEST_FILE), name, place)
    sizes = {ref.name: ref.size for ref in manifest.files}
    model = engine.load(manifest, lambda file: bucket.get_large(file, sizes[file]))
    bucket.close()
    return model


def _manifest(data: bytes, name: str, place: str) -> Manifest:
    manifest = from_json(data)
    if manifest.name != name:
        raise ManifestError(f"{place} holds the model {manifest.name!r}; {name!r} was expected")
    return manifest


def _read(folder: str, file: str) -> bytes:
    with open(f"{folder}/{file}", "rb") as opened:  # noqa: PTH123  pathlib is a slow import
        return opened.read()
