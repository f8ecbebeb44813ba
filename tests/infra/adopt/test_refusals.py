"""Files that can't be served are refused with the place and the remedy, and damaged ones crash nothing."""

import os
import pickle
import random
import zipfile
from pathlib import Path

import pytest

from infra.adopt.adopt import adopt
from infra.adopt.file_kinds import AdoptError, kind_of
from infra.workspace import Workspace


def test_a_saved_model_that_reaches_for_files_is_not_loaded(brought: Path, place: Workspace) -> None:
    with pytest.raises(AdoptError, match=r"its op WriteFile \(.*\) reaches for files.*--trust"):
        adopt(brought / "writing", "writing", place)
    assert not (brought / "written-by-the-model").exists()


@pytest.mark.parametrize(
    ("file", "parts"),
    [
        (
            "flex.tflite",
            ["FlexMatrixInverse (op 0 of subgraph 0, which makes ", "without SELECT_TF_OPS", ".keras"],
        ),
        ("custom.tflite", ["MatrixInverse (op 0 of subgraph 0", "is a custom op", "builtin ops only"]),
        ("scalar.tflite", ["the input 'x' is a single number", "as [1] or [n]"]),
        ("uneven.tflite", ["count instances differently (y [3], x [1, 2])", "free batch"]),
        ("large.tflite", ["one instance has 4,400,000 bytes (x float32 [-1, 1100, 1000])", "4,194,304"]),
        ("one_for_all.tflite", ["the output 'mean' has the shape [] for 1 instances", "row by row"]),
        ("rnn", ["/lstm", "is a recurrent layer, whose TensorListReserve", "Bring the model's .keras"]),
        ("own_layer.keras", ["it holds the class 'Own'", "makes a SavedModel"]),
        ("own_code.skops", ["types that skops does not know as safe (posixpath.basename)", "--trust"]),
        ("inverse.keras", ["no LiteRT builtin does tf.MatrixInverse", "inv", "Use layers that"]),
        ("lambda.keras", ["its framework can't read it", "Lambda", "--trust"]),
    ],
)
def test_refusals_name_the_place_and_the_remedy(
    brought: Path, place: Workspace, file: str, parts: list[str]
) -> None:
    with pytest.raises(AdoptError) as refusal:
        adopt(brought / file, "refused", place)
    for part in (file, *parts):
        assert part in str(refusal.value)
    assert place.registry().models() == []


def test_labels_have_to_fit(brought: Path, place: Workspace) -> None:
    with pytest.raises(AdoptError, match="2 labels were given, and its first output has 3 scores"):
        adopt(brought / "bare.tflite", "bare", place, labels=["a", "b"])
    for labels in (["a", "", "b"], ["a", "b", "a"]):
        with pytest.raises(AdoptError, match="not all different, or one is empty"):
            adopt(brought / "bare.tflite", "bare", place, labels=labels)


def test_a_bad_sample_names_its_row(brought: Path, place: Workspace, tmp_path: Path) -> None:
    sample = tmp_path / "rows.jsonl"
    sample.write_text("[1, 2, 3]\n[1, 2\n")
    with pytest.raises(AdoptError, match="row 2 is not JSON"):
        adopt(brought / "bare.tflite", "bare", place, sample=sample)
    with pytest.raises(AdoptError, match=r"none\.csv can't be read"):
        adopt(brought / "bare.tflite", "bare", place, sample=tmp_path / "none.csv")


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """Cut off, some bits flipped, or a stretch of zeros."""
    data, at = bytearray(whole), chance.randrange(8, len(whole))
    match chance.choice(("cut", "flipped", "zeros")):
        case "cut":
            del data[at:]
        case "flipped":
            for _ in range(chance.choice((1, 8))):
                data[chance.randrange(8, len(data))] ^= 1 << chance.randrange(8)
        case _:
            data[at : at + 64] = bytes(len(data[at : at + 64]))
    return bytes(data)


@pytest.mark.parametrize(
    ("file", "count"),
    [
        ("int8.tflite", 12),
        ("several.tflite", 6),
        ("cnn.keras", 1),
        ("forest.skops", 1),
        ("booster.json", 1),
        ("light.txt", 0),
    ],
)
def test_damaged_files_are_refused_and_crash_nothing(
    brought: Path, place: Workspace, tmp_path: Path, file: str, count: int
) -> None:
    """A sentence each time, or a graph that loads and still answers as its own source does."""
    whole, chance, path = (brought / file).read_bytes(), random.Random(file), tmp_path / file
    for _ in range(count):
        path.write_bytes(damaged(whole, chance))
        try:
            adopted = adopt(path, "damaged", place)
        except AdoptError as error:
            assert str(error).startswith(f"{file}")
            assert "Traceback" not in str(error)
        else:
            assert adopted.manifest.parity.agreement == 1.0
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AdoptError, match="cut off"):
        adopt(path, "damaged", place)


class Killer:
    """A pickle that kills whoever opens it, as a crashing parser would."""

    def __reduce__(self) -> tuple:
        return os.kill, (_ParentOf(), 11)


class _ParentOf:
    def __reduce__(self) -> tuple:
        return os.getpid, ()


def test_a_file_that_crashes_its_framework_crashes_only_the_child(place: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "killer.pkl"
    path.write_bytes(pickle.dumps(Killer()))
    with pytest.raises(AdoptError, match=r"killer\.pkl crashed the process that looked at it \(SIGSEGV\)"):
        adopt(path, "killer", place, trust=True)


def test_kinds_are_told_by_their_bytes(tmp_path: Path) -> None:
    for content, said in (
        (b"hello there, no model", "of no known kind"),
        (b"", "of no known kind"),
    ):
        path = tmp_path / "thing.bin"
        path.write_bytes(content)
        with pytest.raises(AdoptError, match=said):
            kind_of(path)
    (tmp_path / "renamed.bin").write_bytes(pickle.dumps([1, 2]))
    assert kind_of(tmp_path / "renamed.bin") == "pickle"
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "x")
    with pytest.raises(AdoptError, match=r"a zip of readme\.txt"):
        kind_of(tmp_path / "other.zip")
    with pytest.raises(AdoptError, match=r"without saved_model\.pb"):
        kind_of(tmp_path)
    with pytest.raises(AdoptError, match="can't be read"):
        kind_of(tmp_path / "missing.keras")
    with (tmp_path / "huge.tflite").open("wb") as file:
        file.truncate((1 << 30) + 1)
    with pytest.raises(AdoptError, match="1,073,741,825 bytes, 1,073,741,824 at the most"):
        kind_of(tmp_path / "huge.tflite")


def test_a_name_that_no_url_takes_is_refused(brought: Path, place: Workspace) -> None:
    with pytest.raises(AdoptError, match="can't be a model's name"):
        adopt(brought / "bare.tflite", "My Model", place)
