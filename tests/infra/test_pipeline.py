"""The pipeline on the real model: what it measures, what it reuses, what it refuses, and how it recovers."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from functions.inference import engine
from infra.pipeline import BuildError, Built, build
from infra.progress import STEPS, Progress, from_line, to_line
from infra.proof import answer
from infra.workspace import Workspace
from models.catalog.entries import UnknownEntry
from models.manifest import from_json
from models.parity import shortfalls
from models.quantize import SLOWER

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copied(sentiment: Built, sentiment_workspace: Workspace, tmp_path: Path) -> Workspace:
    """A workspace of one's own with the session's model, trained and published."""
    workspace = Workspace(tmp_path / "state")
    shutil.copytree(sentiment_workspace.work / "sentiment", workspace.work / "sentiment")
    manifest = sentiment.manifest
    source = sentiment_workspace.registry()
    files = {ref.name: source.read(manifest, ref.name) for ref in manifest.files}
    workspace.registry().publish(manifest, files)
    return workspace


def steps(told: list[Progress]) -> list[str]:
    """Steps that were finished, in order."""
    return [progress.step for progress in told if progress.finished]


def test_holds_what_was_promised_of_the_model(sentiment: Built) -> None:
    training = sentiment.manifest.training
    metric = training["metric"]
    assert metric["name"] == "accuracy"
    assert metric["value"] >= 0.82
    assert metric["rows"] >= 2_000
    assert {reference["value"] for reference in training["references"]} == {0.815, 0.892}
    parts = training["facts"]["split"]
    assert sum(parts.values()) == 24_904
    assert parts["held_out"] == metric["rows"]


def test_proves_every_candidate_on_every_held_out_row(sentiment: Built) -> None:
    candidates = {item["quantization"]: item for item in sentiment.manifest.training["candidates"]}
    assert candidates.keys() == {"float32", "float16", "dynamic-int8"}
    for item in candidates.values():
        assert item["passed"]
        assert item["rows"] == sentiment.manifest.training["metric"]["rows"] >= 2_000
    assert candidates["float32"]["agreement"] == 1.0
    assert candidates["float32"]["max_diff"] < 1e-5
    assert candidates["dynamic-int8"]["bytes"] < candidates["float32"]["bytes"] / 3


def test_publishes_the_smallest_that_passes(sentiment: Built) -> None:
    manifest = sentiment.manifest
    chosen = [item for item in manifest.training["candidates"] if item["chosen"]]
    assert [item["quantization"] for item in chosen] == [manifest.quantization]
    candidates = {item["quantization"]: item for item in manifest.training["candidates"]}
    allowed = SLOWER * candidates["float32"]["microseconds"]
    fast = [item["bytes"] for item in candidates.values() if item["microseconds"] <= allowed + 0.1]
    assert allowed > 0
    assert chosen[0]["bytes"] == min(fast)
    assert manifest.model.size == chosen[0]["bytes"]
    assert not shortfalls(manifest.parity)


def test_what_is_published_answers_real_reviews(sentiment: Built, sentiment_workspace: Workspace) -> None:
    registry = sentiment_workspace.registry()
    model = engine.load(sentiment.manifest, lambda name: registry.read(sentiment.manifest, name))
    examples = sentiment.examples
    scores = answer(model, [example.value for example in examples])[:, 0]
    model.close()
    labels = [sentiment.manifest.labels[int(score > 0.5)] for score in scores]
    right = sum(label == example.label for label, example in zip(labels, examples, strict=True))
    assert len(examples) == 100
    assert right >= 70


AGAIN = """
import json, sys
from pathlib import Path
from infra.pipeline import build
from infra.workspace import Workspace
told = []
built = build("sentiment", Workspace(Path(sys.argv[1])), told.append)
print(json.dumps({"reused": built.reused, "told": told, "modules": sorted(sys.modules)}))
"""


def test_a_second_run_does_nothing_and_knows_no_tensorflow(copied: Workspace) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", AGAIN, copied.root], capture_output=True, text=True, check=True
    )
    found = json.loads(ran.stdout)
    assert found["reused"]
    assert found["told"] == []
    assert not {"tensorflow", "keras", "numpy"} & set(found["modules"])
    assert copied.registry().versions("sentiment") == ["1"]


def test_another_quantization_is_converted_but_not_trained(copied: Workspace) -> None:
    told: list[Progress] = []
    built = build("sentiment", copied, told.append, quantization="float32")
    assert not built.reused
    assert (built.manifest.version, built.manifest.quantization) == ("2", "float32")
    assert steps(told) == ["train", "convert", "prove", "publish"]
    assert "still valid" in next(progress.message for progress in told if progress.finished)
    assert copied.registry().live("sentiment") == "1"
    assert not copied.data.exists()
    assert build("sentiment", copied, told.append, quantization="float32").reused


class Stop(Exception):
    """Enough was seen."""


def test_a_tampered_version_is_not_reused(copied: Workspace) -> None:
    told: list[Progress] = []

    def stop(progress: Progress) -> None:
        told.append(progress)
        raise Stop

    assert build("sentiment", copied, stop).reused
    path = copied.models / "sentiment" / "1" / "model.tflite"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(Stop):
        build("sentiment", copied, stop)
    assert told[0].message == "Starting TensorFlow"


def test_lost_examples_are_made_again_without_a_new_version(copied: Workspace) -> None:
    (copied.work / "sentiment" / "examples.json").unlink()
    built = build("sentiment", copied)
    assert (built.reused, built.manifest.version, len(built.examples)) == (True, "1", 100)
    assert copied.registry().versions("sentiment") == ["1"]


def test_unknown_names_say_what_there_is(copied: Workspace) -> None:
    with pytest.raises(UnknownEntry, match="sentiment"):
        build("nothing", copied)
    with pytest.raises(BuildError, match="it has: auto, float32, float16, dynamic-int8"):
        build("sentiment", copied, quantization="int4")


def changed_tree(folder: Path, file: str, old: str, new: str) -> Path:
    """A copy of the source with one change, which runs as its own pipeline."""
    for package in ("functions", "infra", "models"):
        shutil.copytree(ROOT / package, folder / package)
    path = folder / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    return folder


RUN = """
import sys
from pathlib import Path
from infra.pipeline import BuildError, build
from infra.progress import to_line
from infra.workspace import Workspace
tell = lambda progress: print(to_line(progress), end="", flush=True)
try:
    build("sentiment", Workspace(Path(sys.argv[1])), tell)
except BuildError as error:
    print(error.kind, error, file=sys.stderr)
    sys.exit(3)
"""


def run_changed(tree: Path, workspace: Workspace) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, workspace.root], cwd=tree, capture_output=True, text=True, check=False
    )


def test_below_its_gate_nothing_is_published_and_the_rows_are_named(
    copied: Workspace, tmp_path: Path
) -> None:
    tree = changed_tree(
        tmp_path / "tree", "models/catalog/sentiment/model.toml", "max_diff = ", "max_diff = 0 # "
    )
    ran = run_changed(tree, copied)
    assert ran.returncode == 3, ran.stderr
    assert "ParityError nothing is published" in ran.stderr
    for part in (
        "float32: the largest difference is",
        "dynamic-int8:",
        "rows that disagreed: row ",
        " became ",
    ):
        assert part in ran.stderr
    assert copied.registry().versions("sentiment") == ["1"]


def test_a_converter_that_drops_a_step_is_caught(copied: Workspace, tmp_path: Path) -> None:
    """A plausible bug: one gate of the LSTM without its activation. It converts, runs, and is wrong."""
    tree = changed_tree(
        tmp_path / "tree",
        "models/convert/recurrent.py",
        "let_out * cell.activation(carry)",
        "let_out * carry",
    )
    ran = run_changed(tree, copied)
    assert ran.returncode == 3, ran.stderr
    assert "ParityError nothing is published" in ran.stderr
    assert "float32: agreement is" in ran.stderr
    assert copied.registry().versions("sentiment") == ["1"]


def test_a_child_that_dies_is_an_error_that_names_the_log(copied: Workspace, tmp_path: Path) -> None:
    tree = changed_tree(tmp_path / "tree", "infra/pipeline_child.py", "import json\n", "1 / 0\n")
    (copied.work / "sentiment" / "examples.json").unlink()
    ran = run_changed(tree, copied)
    assert ran.returncode == 3, ran.stderr
    log = copied.logs / "train-sentiment.log"
    assert f"See {log}; it ends: ZeroDivisionError" in ran.stderr
    assert "Traceback" in log.read_text()


def killed_at(step: str, tree: Path, workspace: Workspace) -> list[Progress]:
    """Start a build and kill all of it, parent and child, once `step` is under way; what it told by then."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, workspace.root],
        cwd=tree,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    told = []
    for line in process.stdout:
        told.append(from_line(line))
        if told[-1].step == step and 0 < told[-1].done < told[-1].total:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    return told


def test_a_build_killed_at_any_step_goes_on_from_there(
    copied: Workspace, sentiment_workspace: Workspace, tmp_path: Path
) -> None:
    """Killed while training, then while converting, then while proving; then it is let be."""
    shutil.copytree(sentiment_workspace.data, copied.data)
    tree = changed_tree(tmp_path / "tree", "models/catalog/sentiment/model.toml", "epochs = 6", "epochs = 1")
    assert steps(killed_at("train", tree, copied)) == ["fetch"]
    assert steps(killed_at("convert", tree, copied)) == ["fetch", "train"]
    assert steps(killed_at("prove", tree, copied)) == ["train", "convert"]
    assert copied.registry().versions("sentiment") == ["1"]
    ran = run_changed(tree, copied)
    assert ran.returncode == 0, ran.stderr
    told = [from_line(line) for line in ran.stdout.splitlines()]
    assert steps(told) == ["train", "convert", "prove", "publish"]
    assert "still valid" in next(progress.message for progress in told if progress.finished)
    assert copied.registry().versions("sentiment") == ["1", "2"]
    folder = copied.work / "sentiment"
    assert not list(folder.glob(".new-*"))
    artifact = from_json((folder / "artifact" / "manifest.json").read_bytes())
    assert artifact.training["facts"]["epochs"] == 1


def test_a_child_that_outlives_its_parent_keeps_the_next_build_waiting(
    copied: Workspace, tmp_path: Path
) -> None:
    """The child of a killed parent still holds the lock, so two never write to one folder."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    waiting = f"import json\nopen({str(gate)!r}).read()\nraise SystemExit\n"
    tree = changed_tree(tmp_path / "tree", "infra/pipeline_child.py", "import json\n", waiting)
    (copied.work / "sentiment" / "examples.json").unlink()
    parent = subprocess.Popen([sys.executable, "-c", RUN, copied.root], cwd=tree, stdout=subprocess.DEVNULL)
    with gate.open("w"), (copied.work / "sentiment" / ".lock").open("wb") as lock:  # the child reads the gate
        parent.kill()
        parent.wait()
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with (copied.work / "sentiment" / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as the next build does; the child has ended


def test_progress_survives_the_pipe() -> None:
    progress = Progress("prove", "Ünïcode\nand lines", 3, 10, {"value": 0.5})
    assert from_line(to_line(progress)) == progress
    assert to_line(progress).count("\n") == 1
    assert set(STEPS) >= {"fetch", "train", "convert", "prove", "publish"}
