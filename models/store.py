"""Where published things lie: a folder here, a bucket in the cloud, behind one protocol.

A store keeps immutable objects under slash-separated names. `put` never replaces an object;
`swap` is for the few small pointers (aliases) that do change. A reader never sees half an object.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from models.typed import Protocol


class NotInStore(KeyError):
    """There is no object of this name."""

    def __str__(self) -> str:
        return f"nothing is stored under {self.args[0]!r}"


class AlreadyStored(Exception):
    """The name is taken, or a pointer is no longer what the writer last read."""


class Store(Protocol):
    """Objects by name. Implementations: LocalStore here, S3 in the cloud."""

    def get(self, name: str) -> bytes:
        """Give the object's bytes; NotInStore if there is none."""

    def put(self, name: str, data: bytes) -> None:
        """Write a new object, durably; AlreadyStored if the name is taken."""

    def swap(self, name: str, data: bytes, *, expected: bytes | None) -> None:
        """Replace a pointer that still holds `expected` (None: not there yet), else AlreadyStored."""

    def list(self, prefix: str) -> list[str]:
        """Names of all objects that start with `prefix`, sorted."""


class LocalStore:
    """A store in a folder. Writes are atomic (rename) and durable (fsync) against power loss."""

    def __init__(self, root: Path) -> None:
        """Keep objects below `root`, which is made on the first write."""
        self.root = root

    def get(self, name: str) -> bytes:
        """Read one file."""
        try:
            return self._path(name).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise NotInStore(name) from None

    def get_each(self, names: Iterable[str]) -> Iterator[bytes]:
        """Read many files, in their order."""
        return map(self.get, names)

    def put(self, name: str, data: bytes) -> None:
        """Write beside the target, then link it there, which fails if the name is taken."""
        path = self._path(name)
        with self._written(path, data) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                raise AlreadyStored(name) from None

    def swap(self, name: str, data: bytes, *, expected: bytes | None) -> None:
        """Compare and replace under a lock file, so that two operators can't both win."""
        path = self._path(name)
        _make_folder(path.parent)
        with (path.parent / f".{path.name}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            current = path.read_bytes() if path.exists() else None
            if current != expected:
                raise AlreadyStored(f"{name} was changed by someone else: read it again")
            with self._written(path, data) as temporary:
                temporary.replace(path)

    def list(self, prefix: str) -> list[str]:
        """Walk the prefix's folder; temporary and lock files start with a dot and are no objects."""
        folder = self.root.joinpath(*prefix.split("/")[:-1])
        names = (p.relative_to(self.root).as_posix() for p in folder.rglob("*") if p.is_file())
        return sorted(n for n in names if n.startswith(prefix) and not n.rpartition("/")[2].startswith("."))

    def _path(self, name: str) -> Path:
        parts = name.split("/")
        if not all(
            part and not part.startswith(".") and "\\" not in part and "\0" not in part for part in parts
        ):
            raise ValueError(f"{name!r} is no object name: plain parts between slashes were expected")
        return self.root.joinpath(*parts)

    @contextlib.contextmanager
    def _written(self, path: Path, data: bytes) -> Iterator[Path]:
        _make_folder(path.parent)
        temporary = path.parent / f".{path.name}.{secrets.token_hex(6)}"
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)


def _make_folder(path: Path) -> None:
    """Make a folder and its parents so that their names, too, survive a loss of power."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        _sync_folder(folder.parent)


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
