"""Fetching data: only what was pinned gets into the cache, however a download goes."""

import http.server
import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from infra.workspace import Workspace
from models.catalog.entries import load_entry
from models.data import DataFile, FetchError, PackageFile, UrlFile, cached_path, fetch

CONTENT = b"text,label\n" + b"fine,1\n" * 500_000


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all pip knows of: the environment's indexes are switched off."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def packed(index: Path) -> PackageFile:
    """A real wheel in that folder, with a data file."""
    wheel = index / "tiny_data-1.0-py3-none-any.whl"
    about = "tiny_data-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny_data/rows.csv", CONTENT)
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny-data\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return PackageFile("tiny-data", "1.0", digest(wheel.read_bytes()), "tiny_data/rows.csv", digest(CONTENT))


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; /short breaks off half-way, /stalls waits there the first time, /missing is a 404."""

    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        stalls = self.path == "/stalls" and not self.server.stalled  # type: ignore[attr-defined]
        self.wfile.write(CONTENT[: len(CONTENT) // 2] if stalls or self.path == "/short" else CONTENT)
        if stalls:
            self.server.stalled = True  # type: ignore[attr-defined]
            self.wfile.flush()
            self.server.released.wait()  # type: ignore[attr-defined]

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Callable[[str], str]]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.released, running.stalled = threading.Event(), False  # type: ignore[attr-defined]
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield lambda path: f"http://127.0.0.1:{running.server_port}{path}"
        running.released.set()  # type: ignore[attr-defined]
        running.shutdown()
        thread.join()


def leftovers(cache: Path) -> list[str]:
    return [path.name for path in cache.rglob("*") if path.name.endswith(".partial")]


def test_the_real_reviews_are_what_the_catalog_pins(sentiment_workspace: Workspace) -> None:
    source = load_entry("sentiment").data["reviews"]
    path = fetch(source, sentiment_workspace.data)
    assert digest(path.read_bytes()) == source.sha256
    assert path == cached_path(source, sentiment_workspace.data)


def test_takes_one_file_out_of_a_package_once(packed: PackageFile, tmp_path: Path, index: Path) -> None:
    told: list[tuple[int, int]] = []
    path = fetch(packed, tmp_path / "cache", lambda done, total: told.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert told[0] == (0, 0)
    assert told[-1] == (len(CONTENT), len(CONTENT))
    for wheel in index.iterdir():
        wheel.unlink()
    assert fetch(packed, tmp_path / "cache") == path
    assert not leftovers(tmp_path)


def test_a_package_of_another_hash_is_refused(packed: PackageFile, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"tiny-data==1\.0 from your package index is not the package"):
        fetch(packed._replace(package_sha256="0" * 64), tmp_path / "cache")
    assert not cached_path(packed, tmp_path / "cache").exists()


@pytest.mark.usefixtures("index")
def test_without_the_package_it_says_which_and_what_to_do(tmp_path: Path) -> None:
    missing = PackageFile("tiny-data", "9.9", "0" * 64, "a/b.csv", "0" * 64)
    with pytest.raises(FetchError) as error:
        fetch(missing, tmp_path / "cache")
    for part in ("tiny-data==9.9", "Check the network", "pip download", "No matching distribution"):
        assert part in str(error.value)
    assert not leftovers(tmp_path)


def test_without_a_network_it_says_which_and_what_to_do(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    missing = PackageFile("tiny-data", "9.9", "0" * 64, "a/b.csv", "0" * 64)
    with pytest.raises(FetchError, match=r"tiny-data==9\.9.*Check the network"):
        fetch(missing, tmp_path / "cache")


def test_a_file_of_another_hash_is_refused(
    packed: PackageFile, tmp_path: Path, server: Callable[[str], str]
) -> None:
    for source in (packed._replace(sha256="0" * 64), UrlFile(server("/whole"), "0" * 64)):
        with pytest.raises(FetchError, match="do not use it"):
            fetch(source, tmp_path / "cache")
        assert not cached_path(source, tmp_path / "cache").exists()
    assert not leftovers(tmp_path)


def test_a_damaged_cache_is_fetched_again(packed: PackageFile, tmp_path: Path) -> None:
    path = fetch(packed, tmp_path / "cache")
    path.write_bytes(CONTENT[:-1])
    assert fetch(packed, tmp_path / "cache").read_bytes() == CONTENT


def test_downloads_from_an_address(tmp_path: Path, server: Callable[[str], str]) -> None:
    told: list[tuple[int, int]] = []
    source = UrlFile(server("/whole"), digest(CONTENT))
    path = fetch(source, tmp_path / "cache", lambda done, total: told.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert told == sorted(told)
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert len(told) > 2


@pytest.mark.parametrize(("path", "complaint"), [("/missing", "404"), ("/short", "Run this again")])
def test_a_failed_download_leaves_nothing_and_can_be_repeated(
    tmp_path: Path, server: Callable[[str], str], path: str, complaint: str
) -> None:
    source = UrlFile(server(path), digest(CONTENT))
    for _ in range(2):
        with pytest.raises(FetchError, match=complaint):
            fetch(source, tmp_path / "cache")
        assert not cached_path(source, tmp_path / "cache").exists()
        assert not leftovers(tmp_path)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_only_http_addresses_are_fetched(tmp_path: Path, url: str) -> None:
    with pytest.raises(FetchError, match=r"http\(s\) address"):
        fetch(UrlFile(url, "0" * 64), tmp_path / "cache")


FETCHER = """
import sys
from pathlib import Path
from models.data import UrlFile, fetch
fetch(UrlFile(sys.argv[1], sys.argv[2]), Path(sys.argv[3]), lambda done, total: print(done, flush=True))
"""


def test_a_killed_download_starts_again_cleanly(tmp_path: Path, server: Callable[[str], str]) -> None:
    source, cache = UrlFile(server("/stalls"), digest(CONTENT)), tmp_path / "cache"
    child = subprocess.Popen(
        [sys.executable, "-c", FETCHER, source.url, source.sha256, str(cache)], stdout=subprocess.PIPE
    )
    assert child.stdout
    assert int(child.stdout.readline()) > 0
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert leftovers(cache)
    assert not cached_path(source, cache).exists()
    assert fetch(source, cache).read_bytes() == CONTENT
    assert not leftovers(cache)


def test_two_at_once_download_once(packed: PackageFile, tmp_path: Path) -> None:
    counts: list[int] = []
    downloads: list[tuple[int, int]] = []

    def get(told: list[tuple[int, int]], source: DataFile) -> None:
        counts.append(len(fetch(source, tmp_path / "cache", lambda *at: told.append(at)).read_bytes()))

    threads = [threading.Thread(target=partial(get, downloads, packed)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [len(CONTENT)] * 2
    assert downloads.count((0, 0)) == 1
