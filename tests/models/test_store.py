"""LocalStore: objects are whole or not there, never replaced, and never outside their folder."""

import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models.store import AlreadyStored, LocalStore, NotInStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def test_gives_back_what_was_put(store: LocalStore) -> None:
    store.put("a/1/model", b"\0\xff")
    assert store.get("a/1/model") == b"\0\xff"


def test_an_unknown_name_says_so(store: LocalStore) -> None:
    store.put("a/1/model", b"")
    for name in ("a/2/model", "a/1", "a/1/model/deeper"):
        with pytest.raises(NotInStore, match=name):
            store.get(name)


def test_put_never_replaces(store: LocalStore) -> None:
    store.put("a/1/model", b"first")
    with pytest.raises(AlreadyStored):
        store.put("a/1/model", b"second")
    assert store.get("a/1/model") == b"first"
    assert store.list("") == ["a/1/model"]


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/x", "a//b", ".hidden", "a/.lock", "", "a\0b", "a\\b"]
)
def test_refuses_a_name_that_is_no_plain_path(store: LocalStore, name: str) -> None:
    for action in (
        lambda: store.get(name),
        lambda: store.put(name, b""),
        lambda: store.swap(name, b"", expected=None),
    ):
        with pytest.raises(ValueError, match="no object name"):
            action()


def test_lists_by_prefix_and_hides_what_is_no_object(store: LocalStore) -> None:
    for name in ("b/1/m", "a/1/m", "a/2/m", "ab/1/m"):
        store.put(name, b"")
    store.swap("a/live", b"", expected=None)
    assert store.list("a/") == ["a/1/m", "a/2/m", "a/live"]
    assert store.list("") == ["a/1/m", "a/2/m", "a/live", "ab/1/m", "b/1/m"]
    assert LocalStore(store.root / "nowhere").list("") == []


def test_swap_is_compare_and_set(store: LocalStore) -> None:
    with pytest.raises(AlreadyStored):
        store.swap("live", b"1", expected=b"0")
    store.swap("live", b"1", expected=None)
    with pytest.raises(AlreadyStored):
        store.swap("live", b"2", expected=None)
    store.swap("live", b"2", expected=b"1")
    assert store.get("live") == b"2"


def test_one_of_many_writers_wins(store: LocalStore) -> None:
    def put(writer: int) -> bool:
        try:
            store.put("a/1/model", str(writer).encode())
        except AlreadyStored:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(put, range(64)))
    assert sum(won) == 1
    assert store.get("a/1/model") == str(won.index(True)).encode()


def _add_one(root: Path, times: int) -> None:
    store = LocalStore(root)
    for _ in range(times):
        while True:
            current = store.get("counter")
            try:
                store.swap("counter", str(int(current) + 1).encode(), expected=current)
                break
            except AlreadyStored:
                continue


def test_swaps_of_several_processes_lose_nothing(store: LocalStore) -> None:
    store.swap("counter", b"0", expected=None)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_add_one, args=(store.root, 25)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert store.get("counter") == b"75"


WRITER = """
import sys
from pathlib import Path
from models.store import LocalStore
store = LocalStore(Path(sys.argv[1]))
print("ready", flush=True)
for number in range(10**9):
    store.put(f"a/{number}/model", bytes(str(number), "ascii") * 100_000)
    print(number, flush=True)
"""


@pytest.mark.parametrize("after", [1, 5, 17])
def test_a_killed_writer_leaves_whole_objects_only(store: LocalStore, after: int) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(store.root)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout
    acknowledged = []
    for line in writer.stdout:
        if line != "ready\n":
            acknowledged.append(int(line))
        if len(acknowledged) == after:
            break
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged += [int(line) for line in writer.stdout.read().split()]
    writer.wait()
    writer.stdout.close()
    names = store.list("")
    assert {f"a/{number}/model" for number in acknowledged} <= set(names)
    for name in names:
        assert store.get(name) == name.split("/")[1].encode() * 100_000


def test_a_write_that_fails_leaves_nothing(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(handle: int) -> None:
        raise OSError(28, "No space left on device")

    store.put("a/1/other", b"")
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        store.put("a/1/model", b"data")
    monkeypatch.undo()
    assert store.list("") == ["a/1/other"]
    assert sorted(path.name for path in (store.root / "a" / "1").iterdir()) == ["other"]
    store.put("a/1/model", b"data")
