"""Second stage of a deploy: the models of this machine into the stage's bucket.

A version keeps its number and its bytes: objects are only ever added. A stage that another machine
publishes to may have taken a number with other content, and then says so.
"""

from __future__ import annotations

from collections.abc import Iterable

from models.manifest import MANIFEST_FILE, Manifest, verify
from models.registry import Registry
from models.store import AlreadyStored, Store


class NumberTaken(Exception):
    """The stage has a different model under this version number."""


def publish_models(manifests: Iterable[Manifest], here: Registry, there: Registry) -> None:
    """Copy published versions to a stage's registry; the first of a model becomes live there."""
    for manifest in manifests:
        name, version = manifest.name, manifest.version
        for ref in manifest.files:
            _put(there.store, f"{name}/{version}/{ref.name}", verify(ref, here.read(manifest, ref.name)))
        _put(there.store, f"{name}/{version}/{MANIFEST_FILE}", manifest.to_json())
        if there.live(name) is None:
            there.promote(name, version)


def _put(store: Store, name: str, data: bytes) -> None:
    try:
        store.put(name, data)
    except AlreadyStored:
        if store.get(name) != data:
            raise NumberTaken(
                f"{name} is in the stage's bucket with other content, published from another machine: "
                "train once more here, which makes a version with a new number"
            ) from None
