"""Recipes: they change with what decides the result, and with nothing else."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from models import recipe
from models.catalog.entries import load_entry
from models.manifest import Gate
from models.recipe import artifact_recipe, training_recipe

ENTRY = load_entry("sentiment")


def test_a_change_of_data_split_or_parameters_trains_anew() -> None:
    changed = [
        ENTRY._replace(data={"reviews": ENTRY.data["reviews"]._replace(sha256="0" * 64)}),
        ENTRY._replace(split={**ENTRY.split, "seed": 8}),
        ENTRY._replace(encoding={**ENTRY.encoding, "maxlen": 99}),
        ENTRY._replace(training={**ENTRY.training, "units": 65}),
    ]
    digests = {training_recipe(entry) for entry in [ENTRY, *changed]}
    assert len(digests) == 1 + len(changed)
    assert len({artifact_recipe(entry, "auto") for entry in [ENTRY, *changed]}) == 1 + len(changed)


def test_a_change_of_gate_or_quantization_converts_anew_only() -> None:
    tighter = ENTRY._replace(gates={"float32": Gate(2000, 1.0, 1e-9)})
    assert training_recipe(tighter) == training_recipe(ENTRY)
    digests = {
        artifact_recipe(ENTRY, "auto"),
        artifact_recipe(ENTRY, "float32"),
        artifact_recipe(tighter, "auto"),
    }
    assert len(digests) == 3


@dataclass
class Touched:
    """Paths read while a digest is made."""

    paths: set[str]


@pytest.fixture
def touched(monkeypatch: pytest.MonkeyPatch) -> Touched:
    found, read = Touched(set()), Path.read_bytes

    def noting(path: Path) -> bytes:
        found.paths.add(path.relative_to(Path(recipe.__file__).parent).as_posix())
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", noting)
    return found


def test_covers_the_code_that_decides(touched: Touched) -> None:
    training_recipe(ENTRY)
    assert touched.paths >= {
        "catalog/sentiment/train.py",
        "families/lstm.py",
        "preprocess/text.py",
        "splits.py",
    }
    assert not touched.paths & {"convert/keras.py", "quantize.py"}
    artifact_recipe(ENTRY, "auto")
    assert touched.paths >= {"convert/keras.py", "convert/recurrent.py", "convert/tflite.py", "quantize.py"}


def test_a_new_framework_version_trains_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    before = training_recipe(ENTRY)
    monkeypatch.setattr(recipe, "version", lambda name: "99.0")
    assert training_recipe(ENTRY) != before
