"""The manifest: nothing is lost in JSON, and nothing but a manifest is read as one."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.manifest import FileRef, Manifest, ManifestError, describe_file, from_json, verify


def test_json_keeps_everything(make_manifest: Callable[..., Manifest]) -> None:
    manifest = make_manifest(version="7", labels=("négatif", "positif"))
    assert from_json(manifest.to_json()) == manifest


def test_names_every_file_but_itself(make_manifest: Callable[..., Manifest]) -> None:
    assert [ref.name for ref in make_manifest().files] == ["model.tflite", "vocabulary.json"]


def test_keeps_what_became_of_a_candidate_without_end(make_manifest: Callable[..., Manifest]) -> None:
    """A refused int8 whose scores are no numbers differs from its source without end."""
    manifest = make_manifest(training={"candidates": [{"max_diff": float("inf")}]})
    assert from_json(manifest.to_json()) == manifest


@pytest.mark.parametrize("name", ["../model", "a/b", "a\\b", ".hidden", ""])
def test_refuses_a_file_outside_its_folder(make_manifest: Callable[..., Manifest], name: str) -> None:
    data = make_manifest(model=FileRef(name, "0" * 64, 1)).to_json()
    with pytest.raises(ManifestError, match="plain file name"):
        from_json(data)


def test_refuses_an_unknown_format(make_manifest: Callable[..., Manifest]) -> None:
    document = json.loads(make_manifest().to_json())
    document["format"] = 99
    with pytest.raises(ManifestError, match="format 99"):
        from_json(json.dumps(document).encode())


def test_refuses_an_unknown_type(make_manifest: Callable[..., Manifest]) -> None:
    data = make_manifest().to_json().replace(b'"int32"', b'"complex64"')
    with pytest.raises(ManifestError, match="complex64"):
        from_json(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"format": 1}', b'{"format": [1]}'],
)
def test_what_is_no_manifest_is_a_manifest_error(data: bytes) -> None:
    with pytest.raises(ManifestError):
        from_json(data)


def test_a_missing_or_wrong_field_is_a_manifest_error(make_manifest: Callable[..., Manifest]) -> None:
    whole = json.loads(make_manifest().to_json())
    for key in whole:
        document = {name: value for name, value in whole.items() if name != key}
        with pytest.raises(ManifestError):
            from_json(json.dumps(document).encode())
    for key in ("name", "labels", "max_instances", "parity", "model", "signatures", "preprocess"):
        with pytest.raises(ManifestError):
            from_json(json.dumps({**whole, key: 1e999 if key == "max_instances" else 5}).encode())


def test_verify_gives_back_the_file_it_names() -> None:
    data = b"weights"
    assert verify(describe_file("model.tflite", data), data) is data


@given(st.binary(min_size=1, max_size=200), st.data())
def test_verify_refuses_any_other_bytes(data: bytes, draw: st.DataObject) -> None:
    ref = describe_file("model.tflite", data)
    at = draw.draw(st.integers(0, len(data) - 1))
    flipped = bytearray(data)
    flipped[at] ^= 1 << draw.draw(st.integers(0, 7))
    for other in (bytes(flipped), data[:-1], data + b"\0"):
        with pytest.raises(ManifestError, match=r"model\.tflite"):
            verify(ref, other)
