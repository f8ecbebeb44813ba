"""An archive is pinned by what it holds: packed anew it is the same data, changed by a byte it is not."""

import io
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from infra.workspace import Workspace
from models.catalog.entries import load_entry
from models.data import FetchError, UrlArchive, cached_path, fetch, read_archive
from models.data import put as bring

NOWHERE = "http://127.0.0.1:9/clips-1.0.tar.gz"
CLIPS = {"b.wav": b"two", "a.wav": b"one"}


def pack(folder: str, files: dict[str, bytes], mtime: int = 0) -> bytes:
    """A tar.gz as a host packs it when it is asked."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in {"README.md": b"x", **{f"recordings/{n}": d for n, d in files.items()}}.items():
            member = tarfile.TarInfo(f"{folder}{name}")
            member.size, member.mtime = len(data), mtime
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def pinned(files: dict[str, bytes]) -> UrlArchive:
    lines = (f"{sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items()))
    return UrlArchive(NOWHERE, "recordings", sha256("".join(lines).encode()).hexdigest())


def put(source: UrlArchive, cache: Path, data: bytes) -> Path:
    path = cached_path(source, cache)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("folder", ["", "clips-1.0/", "clips-master/"])
def test_what_lies_in_the_cache_is_taken_however_it_was_packed(tmp_path: Path, folder: str) -> None:
    source = pinned(CLIPS)
    path = put(source, tmp_path, pack(folder, CLIPS, mtime=len(folder)))
    assert fetch(source, tmp_path) == path
    assert list(read_archive(path, "recordings").items()) == [("a.wav", b"one"), ("b.wav", b"two")]


@pytest.mark.parametrize(
    "data",
    [
        pack("", {**CLIPS, "a.wav": b"0ne"}),
        pack("", {**CLIPS, "c.wav": b""}),
        pack("", {"a.wav": b"one"}),
        pack("", CLIPS)[: len(pack("", CLIPS)) // 2],
        b"no archive",
        b"",
    ],
)
def test_anything_else_is_fetched_anew_and_without_a_way_out_says_where_it_belongs(
    tmp_path: Path, data: bytes
) -> None:
    source = pinned(CLIPS)
    path = put(source, tmp_path, data)
    with pytest.raises(FetchError, match=r"can't be downloaded.*put the file there yourself") as error:
        fetch(source, tmp_path)
    assert str(path) in str(error.value)


def test_a_copy_that_somebody_has_is_taken_if_it_is_the_pinned_one(tmp_path: Path) -> None:
    source, copy = pinned(CLIPS), tmp_path / "copy.tar.gz"
    copy.write_bytes(pack("elsewhere/", CLIPS))
    cache = tmp_path / "cache"
    path = bring(source, copy, cache)
    assert path == cached_path(source, cache) == fetch(source, cache)
    copy.write_bytes(pack("", {"a.wav": b"other"}))
    with pytest.raises(FetchError, match=r"copy\.tar\.gz has the SHA-256 .* was pinned"):
        bring(source, copy, tmp_path / "empty")
    assert not cached_path(source, tmp_path / "empty").exists()
    assert bring(source, path, cache) == path  # the cache's own file does no harm


def test_the_cache_folder_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAYPHONE_DATA", raising=False)
    assert Workspace(tmp_path / "state").data == tmp_path / "state" / "data"
    monkeypatch.setenv("PAYPHONE_DATA", str(tmp_path / "shared"))
    assert Workspace(tmp_path / "state").data == tmp_path / "shared"


def test_spoken_digits_come_from_upstream() -> None:
    source = load_entry("spoken-digits").data["recordings"]
    assert isinstance(source, UrlArchive)
    assert source.url.startswith("https://")
