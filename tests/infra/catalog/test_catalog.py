"""The catalog's report on two real models: every figure, and a model without data named, not replaced."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from functions.inference import engine
from functions.inference.answers import predictions
from functions.inference.codec import choose_form, tensors_from_instances
from infra.catalog.build import build_all
from infra.catalog.report import figures, page
from infra.catalog.timing import time_alone
from infra.cli.main import app
from infra.pipeline import Built
from infra.progress import Progress
from infra.workspace import Workspace
from models.catalog import entries
from models.catalog.entries import load_entry

NAMES = ["diagnosis", "diagnosis-svm"]
MEMBERS = [
    *("name", "family", "metric", "value", "reference", "rows", "agreement", "max_diff"),
    *("bytes", "quantization", "p50_us", "source_p50_us"),
]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("catalog"))


@pytest.fixture(scope="module")
def told() -> list[tuple[str, Progress]]:
    return []


@pytest.fixture(scope="module")
def built(workspace: Workspace, told: list[tuple[str, Progress]]) -> dict[str, Built]:
    made, missing = build_all(NAMES, workspace, lambda *event: told.append(event), jobs=2)
    assert not missing
    return made


def test_builds_in_order_and_tells_of_whom(built: dict[str, Built], told: list[tuple[str, Progress]]) -> None:
    assert list(built) == NAMES
    for name in NAMES:
        steps = [progress.step for title, progress in told if progress.finished and title == name]
        assert steps == ["fetch", "train", "convert", "prove", "publish"]


def test_reports_every_figure(built: dict[str, Built], workspace: Workspace) -> None:
    lines = [figures(item, time_alone(item, workspace)) for item in built.values()]
    for name, line in zip(NAMES, lines, strict=True):
        assert list(line) == MEMBERS
        assert (line["name"], line["rows"], line["agreement"]) == (name, 171, 1.0)
        assert (line["metric"], line["reference"]) == ("accuracy", 0.975)
        assert line["max_diff"] <= 1e-5
        assert line["value"] > 0.9
        assert line["p50_us"] > 0
        assert line["source_p50_us"] > 0
        json.dumps(line, allow_nan=False)
    text = page(lines, built, {name: load_entry(name) for name in NAMES})
    assert f"| diagnosis | tree | accuracy | {lines[0]['value']:.4f} | 0.975 | 171 | 100.000% |" in text
    assert "of the malignant masses are found" in text
    assert "/v1/models/diagnosis-svm/predict" in text
    assert "{" not in text.replace('{"instances"', "")


def test_builds_and_times_nothing_twice(built: dict[str, Built], workspace: Workspace) -> None:
    timings = [time_alone(item, workspace) for item in built.values()]
    told: list[tuple[str, Progress]] = []
    again, missing = build_all(NAMES, workspace, lambda *event: told.append(event), jobs=2)
    assert not missing
    assert all(item.reused for item in again.values())
    assert [time_alone(item, workspace) for item in again.values()] == timings
    assert {title: event.message for title, event in told} == dict.fromkeys(NAMES, "Version 1 is still valid")


@pytest.mark.parametrize("name", NAMES)
def test_takes_a_row_in_order_and_by_name(built: dict[str, Built], workspace: Workspace, name: str) -> None:
    registry, manifest = workspace.registry(), built[name].manifest
    model = engine.load(manifest, lambda file: registry.read(manifest, file))
    by_name = next(example.value for example in built[name].examples if isinstance(example.value, dict))
    assert "mean radius" in by_name
    in_order = [by_name[column] for column in manifest.preprocess.parameters["names"]]
    answers = []
    for value in (by_name, in_order):
        tensors = tensors_from_instances([value], choose_form(value, model.forms))
        answers += json.loads(predictions(manifest, model.run(model.prepare(tensors)), 1))
    model.close()
    assert answers[0] == answers[1]
    assert answers[0]["label"] in ("malignant", "benign")


def run(workspace: Workspace, *arguments: str) -> Result:
    """The command, on what the catalog is said to hold."""
    return CliRunner().invoke(app, ["--state", str(workspace.root), "model", "catalog", *arguments])


def test_the_command_ends_with_one_line_and_writes_the_page(
    built: dict[str, Built], workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(entries, "CATALOG", {name: entries.CATALOG[name] for name in NAMES})
    target = tmp_path / "docs" / "catalog.md"
    result = run(workspace, "--json", "--page", str(target))
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    assert [item["name"] for item in json.loads(line)] == NAMES
    assert "diagnosis Version 1 is still valid" in result.stderr
    assert "2 models are timed" in result.stderr
    assert target.read_text().count("curl -s ") == 2
    assert "diagnosis-svm" in run(workspace).stdout


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No package index and no address answers."""
    for name, value in {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_RETRIES": "0",
        "PIP_FIND_LINKS": "",
        "PIP_CONFIG_FILE": os.devnull,
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "no_proxy": "",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(("name", "code"), [("recommend", 1), ("spoken-digits", 0)])
def test_data_that_can_t_be_had_is_said_and_never_replaced(
    built: dict[str, Built], workspace: Workspace, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    """What lies at an address of its own may be missing; what a package index has may not."""
    monkeypatch.setattr(entries, "CATALOG", {key: entries.CATALOG[key] for key in (name, "diagnosis")})
    result = run(workspace, "--json")
    assert result.exit_code == code
    assert [item["name"] for item in json.loads(result.stdout)] == ["diagnosis"]
    said = {
        "recommend": "the package recbole==1.2.1, which holds the training data, can't be downloaded",
        "spoken-digits": "payphone model train spoken-digits --data recordings=FILE",
    }
    assert f"{name} is missing: " in result.stderr
    assert said[name] in result.stderr
    assert not (workspace.models / name).exists()
