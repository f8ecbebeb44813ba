"""The catalog's report on two real models: every figure, and a model without data named, not replaced."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from functions.inference import engine
from functions.inference.answers import predictions
from functions.inference.codec import choose_form, tensors_from_instances
from infra.catalog import build_all, figures, time_alone
from infra.pipeline import Built
from infra.progress import Progress
from infra.workspace import Workspace

NAMES = ["diagnosis", "diagnosis-svm"]
MEMBERS = [
    *("name", "family", "metric", "value", "reference", "rows", "agreement", "max_diff"),
    *("bytes", "quantization", "p50_us", "source_p50_us"),
]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("catalog"))


@pytest.fixture(scope="module")
def told() -> list[Progress]:
    return []


@pytest.fixture(scope="module")
def built(workspace: Workspace, told: list[Progress]) -> dict[str, Built]:
    made, missing = build_all(NAMES, workspace, told.append)
    assert not missing
    return made


def test_builds_in_order_and_tells_of_whom(built: dict[str, Built], told: list[Progress]) -> None:
    assert list(built) == NAMES
    for name in NAMES:
        steps = [
            progress.step
            for progress in told
            if progress.finished and progress.message.startswith(f"{name}:")
        ]
        assert steps == ["fetch", "train", "convert", "prove", "publish"]


def test_reports_every_figure(built: dict[str, Built], workspace: Workspace) -> None:
    for name, item in built.items():
        line = figures(item, time_alone(item, workspace))
        assert list(line) == MEMBERS
        assert (line["name"], line["rows"], line["agreement"]) == (name, 171, 1.0)
        assert line["max_diff"] <= 1e-5
        assert line["value"] > 0.9
        assert line["p50_us"] > 0
        assert line["source_p50_us"] > 0
        json.dumps(line, allow_nan=False)


def test_builds_nothing_twice(built: dict[str, Built], workspace: Workspace) -> None:
    again, missing = build_all(NAMES, workspace, lambda progress: None)
    assert not missing
    assert all(item.reused for item in again.values())


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
        answers += predictions(manifest, model.run(model.prepare(tensors)), 1)
    model.close()
    assert answers[0] == answers[1]
    assert answers[0]["label"] in ("malignant", "benign")


WITHOUT_INDEX = """
import sys
from pathlib import Path
from infra import catalog
catalog.CATALOG = {"recommend": "", "diagnosis": ""}
sys.exit(catalog.main(Path(sys.argv[1])))
"""


def test_data_that_can_t_be_had_is_said_and_fails(built: dict[str, Built], workspace: Workspace) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_INDEX, workspace.root],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={
            **os.environ,
            "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
            "PIP_EXTRA_INDEX_URL": "",
            "PIP_RETRIES": "0",
        }
        | {"PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull},
    )
    assert ran.returncode == 1, ran.stderr
    assert "recommend is missing: the package recbole==1.2.1" in ran.stderr
    report = json.loads(ran.stdout.splitlines()[-1])
    assert [line["name"] for line in report] == ["diagnosis"]
