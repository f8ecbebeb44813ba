"""The registry: publish, resolve, list, promote and roll back model versions over a Store.

    <name>/<version>/manifest.json, model.tflite, …   immutable; the manifest is written last
    <name>/live.json                                  {"version": "3", "history": ["1", "2"]}

A version exists once its manifest does: what a crashed publisher leaves is never served, and its
number is never used again. Which version is live is data, so that promoting is one small write.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from models.manifest import MANIFEST_FILE, Manifest, ManifestError, from_json, verify
from models.store import AlreadyStored, NotInStore, Store

LIVE_FILE = "live.json"


class UnknownModel(KeyError):
    """The registry has no such model or version."""

    def __str__(self) -> str:
        return str(self.args[0])


class Registry:
    """Model versions in a Store. Versions are "1", "2", … in the order they were published."""

    def __init__(self, store: Store) -> None:
        """Read and write versions in `store`."""
        self.store = store

    def publish(self, manifest: Manifest, files: Mapping[str, bytes]) -> Manifest:
        """Write a new version, make it live where nothing is yet, and give it with its number.

        Every file the manifest names must be in `files` and match its SHA-256 (ManifestError).
        """
        missing = [ref.name for ref in manifest.files if ref.name not in files]
        if missing:
            raise ManifestError(f"the manifest of {manifest.name} names files that are not here: {missing}")
        contents = {ref.name: verify(ref, files[ref.name]) for ref in manifest.files}
        number = 1 + max((int(v) for v in self._taken(manifest.name)), default=0)
        while True:
            try:
                for name, data in contents.items():
                    self.store.put(f"{manifest.name}/{number}/{name}", data)
                break
            except AlreadyStored:  # another publisher was first: take the next number
                number += 1
        published = manifest._replace(version=str(number))
        self.store.put(f"{manifest.name}/{number}/{MANIFEST_FILE}", published.to_json())
        with contextlib.suppress(AlreadyStored):  # some version is live, perhaps since just now
            self._point(manifest.name, published.version, [], expected=None)
        return published

    def models(self) -> list[str]:
        """Names of the models that have at least one version, sorted."""
        return sorted({n.split("/")[0] for n in self.store.list("") if n.endswith(f"/{MANIFEST_FILE}")})

    def versions(self, name: str) -> list[str]:
        """Published versions of a model, oldest first; empty for a model we don't have."""
        names = self.store.list(f"{name}/")
        parts = (n.split("/") for n in names)
        found = (p[1] for p in parts if p[2:] == [MANIFEST_FILE] and p[1].isdigit())
        return sorted(found, key=int)

    def live(self, name: str) -> str | None:
        """The version that answers calls, or None where nothing is live."""
        pointer, _ = self._pointer(name)
        return str(pointer["version"]) if pointer else None

    def manifest(self, name: str, version: str | None = None) -> Manifest:
        """The manifest of a version (the live one by default); UnknownModel says what there is."""
        chosen = version or self.live(name)
        if chosen is None:
            known = ", ".join(self.models()) or "none yet"
            raise UnknownModel(f"no model {name!r} is published here (published: {known})")
        try:
            found = from_json(self.store.get(f"{name}/{chosen}/{MANIFEST_FILE}"))
        except (NotInStore, ValueError) as error:
            if isinstance(error, ManifestError):
                raise
            known = ", ".join(self.versions(name)) or "none"
            raise UnknownModel(f"{name} has no version {chosen!r} (versions: {known})") from None
        if (found.name, found.version) != (name, chosen):
            raise ManifestError(
                f"the manifest of {name} version {chosen} says it is {found.name} version {found.version}"
            )
        return found

    def read(self, manifest: Manifest, file: str) -> bytes:
        """One file of a published version; the caller verifies it against the manifest."""
        return self.store.get(f"{manifest.name}/{manifest.version}/{file}")

    def promote(self, name: str, version: str) -> str | None:
        """Make `version` live; gives the version it replaces. Promoting the live one changes nothing."""
        self.manifest(name, version)
        pointer, raw = self._pointer(name)
        previous = str(pointer["version"]) if pointer else None
        if previous != version:
            history = [*pointer["history"], previous] if pointer else []
            self._point(name, version, history, raw)
        return previous

    def rollback(self, name: str) -> str:
        """Make the version live that was live before; UnknownModel where there was none."""
        pointer, raw = self._pointer(name)
        if not pointer or not pointer["history"]:
            raise UnknownModel(f"{name} has no earlier live version to go back to")
        *history, version = pointer["history"]
        self._point(name, version, history, raw)
        return str(version)

    def _pointer(self, name: str) -> tuple[dict[str, Any] | None, bytes | None]:
        try:
            raw = self.store.get(f"{name}/{LIVE_FILE}")
        except (NotInStore, ValueError):
            return None, None
        try:
            pointer = json.loads(raw)
            return {"version": str(pointer["version"]), "history": list(pointer["history"])}, raw
        except (ValueError, KeyError, TypeError):
            raise ManifestError(
                f"{name}/{LIVE_FILE} does not say which version is live: mend it, or delete it and promote"
            ) from None

    def _point(self, name: str, version: str, history: list[str], expected: bytes | None) -> None:
        document = json.dumps({"version": version, "history": history}).encode()
        self.store.swap(f"{name}/{LIVE_FILE}", document, expected=expected)

    def _taken(self, name: str) -> set[str]:
        parts = (n.split("/")[1] for n in self.store.list(f"{name}/"))
        return {p for p in parts if p.isdigit()}
