"""OpenMP's runtime for LightGBM, whose wheel leaves it to the system: scikit-learn's wheel has a copy."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

NAME = "libgomp.so.1"
SEARCHED = "LD_LIBRARY_PATH"


def environment(folder: Path) -> dict[str, str]:
    """The environment for a child process that may import LightGBM; a link to the copy is laid in `folder`.

    The system's folders are searched after it. It is read when a process starts, so it helps no other.
    """
    known = dict(os.environ)
    with suppress(PackageNotFoundError):
        copies = [file for file in files("scikit-learn") or () if file.name.startswith("libgomp")]
        for copy in copies[:1]:
            folder.mkdir(parents=True, exist_ok=True)
            link = folder / NAME
            with suppress(FileExistsError):
                link.symlink_to(Path(str(copy.locate())).resolve())
            known[SEARCHED] = os.pathsep.join([str(folder.absolute()), *filter(None, [known.get(SEARCHED)])])
    return known
