"""The registry: versions exist whole or not at all, whoever publishes, crashes or tampers."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models.manifest import Manifest, ManifestError, verify
from models.registry import Registry, UnknownModel
from models.store import AlreadyStored, LocalStore

Make = Callable[..., Manifest]
Files = dict[str, bytes]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(LocalStore(tmp_path / "models"))


def test_numbers_versions_from_one_and_makes_the_first_live(
    registry: Registry, make_manifest: Make, files: Files
) -> None:
    first = registry.publish(make_manifest(), files)
    second = registry.publish(make_manifest(), files)
    assert (first.version, second.version) == ("1", "2")
    assert registry.versions("sentiment") == ["1", "2"]
    assert registry.live("sentiment") == "1"
    assert registry.manifest("sentiment") == first
    assert registry.manifest("sentiment", "2") == second
    assert registry.models() == ["sentiment"]
    assert {ref.name: registry.read(first, ref.name) for ref in first.files} == files


def test_orders_versions_as_numbers(registry: Registry, make_manifest: Make, files: Files) -> None:
    for _ in range(11):
        registry.publish(make_manifest(), files)
    assert registry.versions("sentiment")[-2:] == ["10", "11"]


def test_refuses_files_that_are_not_the_manifest_s(
    registry: Registry, make_manifest: Make, files: Files
) -> None:
    with pytest.raises(ManifestError, match=r"model\.tflite"):
        registry.publish(make_manifest(), {**files, "model.tflite": b"other"})
    with pytest.raises(ManifestError, match=r"vocabulary\.json"):
        registry.publish(make_manifest(), {"model.tflite": files["model.tflite"]})
    assert registry.models() == []


def test_promotes_and_rolls_back_step_by_step(registry: Registry, make_manifest: Make, files: Files) -> None:
    for _ in range(3):
        registry.publish(make_manifest(), files)
    assert registry.promote("sentiment", "3") == "1"
    assert registry.promote("sentiment", "2") == "3"
    assert registry.promote("sentiment", "2") == "2"
    assert [registry.rollback("sentiment") for _ in range(2)] == ["3", "1"]
    assert registry.live("sentiment") == "1"
    with pytest.raises(UnknownModel, match="no earlier live version"):
        registry.rollback("sentiment")


def test_unknown_names_say_what_there_is(registry: Registry, make_manifest: Make, files: Files) -> None:
    with pytest.raises(UnknownModel, match="published: none yet"):
        registry.manifest("sentiment")
    registry.publish(make_manifest(), files)
    with pytest.raises(UnknownModel, match=r"versions: 1\)"):
        registry.manifest("sentiment", "9")
    with pytest.raises(UnknownModel, match="published: sentiment"):
        registry.manifest("other")
    for action in (
        lambda: registry.promote("sentiment", "9"),
        lambda: registry.promote("other", "1"),
        lambda: registry.rollback("other"),
        lambda: registry.manifest("sentiment", "../1"),
        lambda: registry.manifest("../sentiment", "1"),
    ):
        with pytest.raises(UnknownModel):
            action()
    assert registry.live("sentiment") == "1"


def test_concurrent_publishers_get_versions_of_their_own(
    registry: Registry, make_manifest: Make, files: Files
) -> None:
    def publish(number: int) -> Manifest:
        return registry.publish(make_manifest(recipe=str(number)), files)

    with ThreadPoolExecutor(8) as pool:
        published = list(pool.map(publish, range(24)))
    versions = sorted((manifest.version for manifest in published), key=int)
    assert len(set(versions)) == 24
    assert registry.versions("sentiment") == versions
    for manifest in published:
        assert registry.manifest("sentiment", manifest.version) == manifest
    assert registry.live("sentiment") in versions


class Crash(Exception):
    """The process dies here."""


class CrashingStore(LocalStore):
    """Dies at the n-th write, before it or after."""

    def __init__(self, root: Path, at: int) -> None:
        super().__init__(root)
        self.left = at

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Crash

    def put(self, name: str, data: bytes) -> None:
        self._count()
        super().put(name, data)

    def swap(self, name: str, data: bytes, *, expected: bytes | None) -> None:
        self._count()
        super().swap(name, data, expected=expected)


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_crashed_publisher_is_never_served_and_its_number_not_reused(
    tmp_path: Path, make_manifest: Make, files: Files, at: int
) -> None:
    """Writes are model, vocabulary, manifest, pointer: dying before the manifest leaves no version."""
    root = tmp_path / "models"
    with pytest.raises(Crash):
        Registry(CrashingStore(root, at)).publish(make_manifest(recipe="crashed"), files)
    registry = Registry(LocalStore(root))
    published_before = at == 4
    assert registry.models() == (["sentiment"] if published_before else [])
    assert registry.live("sentiment") is None
    nothing_written = at == 1
    after = registry.publish(make_manifest(recipe="whole"), files)
    assert after.version == ("1" if nothing_written else "2")
    assert registry.live("sentiment") == after.version
    assert registry.manifest("sentiment").recipe == "whole"


def test_tampered_files_are_told_by_their_manifest(
    registry: Registry, make_manifest: Make, files: Files, tmp_path: Path
) -> None:
    published = registry.publish(make_manifest(), files)
    path = tmp_path / "models" / "sentiment" / "1" / "model.tflite"
    path.write_bytes(files["model.tflite"].replace(b"g", b"G", 1))
    with pytest.raises(ManifestError, match="SHA-256"):
        verify(published.model, registry.read(published, "model.tflite"))


@pytest.mark.parametrize("change", [{"name": "other"}, {"version": "2"}, {"model": None}])
def test_refuses_a_manifest_that_is_not_in_its_place(
    registry: Registry, make_manifest: Make, files: Files, tmp_path: Path, change: dict[str, object]
) -> None:
    """It names the folder that files are read from, so it must not point to another one."""
    registry.publish(make_manifest(), files)
    path = tmp_path / "models" / "sentiment" / "1" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ManifestError):
        registry.manifest("sentiment")


def test_two_operators_can_not_both_move_the_pointer(
    registry: Registry, make_manifest: Make, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        registry.publish(make_manifest(), files)
    swap = registry.store.swap

    def late(name: str, data: bytes, *, expected: bytes | None) -> None:
        monkeypatch.undo()
        registry.promote("sentiment", "3")  # another operator, between our reading and our writing
        swap(name, data, expected=expected)

    monkeypatch.setattr(registry.store, "swap", late)
    with pytest.raises(AlreadyStored, match="read it again"):
        registry.promote("sentiment", "2")
    assert registry.live("sentiment") == "3"
    assert registry.rollback("sentiment") == "1"
