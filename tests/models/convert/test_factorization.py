"""Recommender → LiteRT: the items that numpy ranks highest, for every user and for ids that nobody has."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from functions.inference.litert import LiteRTModel
from functions.preprocess.tensors import Tensor

CONVERT = """
import json, sys
from pathlib import Path
from tempfile import TemporaryDirectory
import numpy as np
from models.convert import tflite
from models.convert.kinds import source
from models.families.factorization import Factors, Recommender
from models.quantize import QUANTIZATIONS

random = np.random.default_rng(0)
users, items = random.normal(size=(30, 5)), random.normal(size=(50, 5))
seen = [np.sort(random.permutation(50)[: random.integers(0, 40)]) for _ in users]
user_ids = np.sort(random.permutation(90)[:30])
model = Recommender(Factors(3.5, users, items), user_ids, np.arange(50) * 3 + 1, seen, best=7)
converted = source("factorization").graph(model)
with TemporaryDirectory() as saved:
    tflite.save(converted, Path(saved))
    data = tflite.write(converted, Path(saved), QUANTIZATIONS["float32"])
(Path(sys.argv[1]) / "model.tflite").write_bytes(data)
asked = [*range(-2, 95), 2**31 - 1, -(2**31)]
try:
    source("factorization").graph(model._replace(item_ids=model.item_ids + 10**6))
    refusal = ""
except tflite.ConversionError as error:
    refusal = str(error)
report = {"asked": asked, "items": model.recommend(asked).tolist(), "known": user_ids.tolist(),
          "seen": [(np.array(s) * 3 + 1).tolist() for s in seen], "refusal": refusal}
print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[LiteRTModel, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("recommender")
    made = subprocess.run(
        [sys.executable, "-c", CONVERT, folder],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert made.returncode == 0, made.stderr[-2000:]
    return LiteRTModel((folder / "model.tflite").read_bytes()), json.loads(made.stdout.splitlines()[-1])


def ask(model: LiteRTModel, users: list[int]) -> tuple[np.ndarray, np.ndarray]:
    given = np.array(users, "int32")
    items, ratings = model.run("predict", [Tensor("user", "int32", given.shape, given.tobytes())])
    assert isinstance(items.data, bytes)
    assert isinstance(ratings.data, bytes)
    shape = items.shape
    return np.frombuffer(items.data, "int32").reshape(shape), np.frombuffer(ratings.data, "float32").reshape(
        shape
    )


def test_items_are_the_source_s_for_any_id(converted: tuple[LiteRTModel, dict[str, Any]]) -> None:
    model, report = converted
    items, ratings = ask(model, report["asked"])
    assert items.tolist() == report["items"]
    assert (np.diff(ratings, axis=1) <= 0).all()
    for number, user in enumerate(report["asked"][:5]):
        assert ask(model, [user])[0].tolist() == [report["items"][number]]


def test_no_item_was_seen(converted: tuple[LiteRTModel, dict[str, Any]]) -> None:
    model, report = converted
    items, _ = ask(model, report["known"])
    for chosen, seen in zip(items.tolist(), report["seen"], strict=True):
        assert not set(chosen) & set(seen)


def test_ids_that_are_too_large_are_refused(converted: tuple[LiteRTModel, dict[str, Any]]) -> None:
    assert "1,000,000 is the most. Number them anew" in converted[1]["refusal"]
