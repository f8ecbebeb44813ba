"""Zips for Lambda, the same bytes for the same content, so that an unchanged one is never deployed again.

Times are fixed, names sorted, modes plain. What is in a zip and how large it is unzipped stays known,
for Lambda's limits are on that (see budget.py).
"""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest time a zip can hold
REGULAR_FILE = 0o100644 << 16
EXECUTABLE = 0o100755 << 16


class Archive(NamedTuple):
    """A zip on disk: its files by their name inside with their bytes unzipped, and what to know of it."""

    name: str
    path: Path
    files: dict[str, int]
    zipped: int
    notes: tuple[str, ...] = ()

    @property
    def unzipped(self) -> int:
        """Bytes of all its files."""
        return sum(self.files.values())


def write(
    name: str,
    files: Mapping[str, bytes],
    folder: Path,
    notes: tuple[str, ...] = (),
    executable: Collection[str] = (),
) -> Archive:
    """Write `<folder>/<name>.zip`; a zip already there with the same content is not touched."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.zip"
    half = path.with_suffix(".half")
    with zipfile.ZipFile(half, "w") as archive:
        for inside in sorted(files):
            entry = zipfile.ZipInfo(inside, EPOCH)
            entry.external_attr = EXECUTABLE if inside in executable else REGULAR_FILE
            entry.create_system = 3  # Unix, whose modes these are
            archive.writestr(entry, files[inside], zipfile.ZIP_DEFLATED, compresslevel=9)
    if path.exists() and path.read_bytes() == half.read_bytes():
        half.unlink()
    else:
        half.replace(path)
    sizes = {inside: len(files[inside]) for inside in sorted(files)}
    return Archive(name, path, sizes, path.stat().st_size, notes)
