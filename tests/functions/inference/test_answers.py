"""A label's score is called what it is: a probability, or a margin that is none."""

import json
from array import array
from typing import Any

import pytest

from functions.inference.answers import UnusableScores, answer_tensors, predictions
from functions.preprocess.tensors import Tensor
from models.manifest import FileRef, Gate, Manifest, Parity, Preprocess, Signature, TensorSpec


def manifest(task: str) -> Manifest:
    signature = Signature((), (TensorSpec("decision", "float32", (-1, 2)),))
    return Manifest(
        name="toy",
        version="1",
        family="test",
        task=task,
        signatures={"predict": signature},
        preprocess=Preprocess("none", {}, ()),
        labels=("negative", "positive"),
        max_instances=8,
        source={},
        quantization="float32",
        parity=Parity(1, 1.0, 0.0, Gate(1, 1.0, 0.0)),
        training={},
        licence="Apache-2.0",
        model=FileRef("model.tflite", "0" * 64, 0),
        recipe="",
    )


OUTPUTS = [Tensor("decision", "float32", (3, 2), array("f", [-1.5, 1.5, 0, 0, 2, -2]).tobytes())]


@pytest.mark.parametrize(
    ("task", "one", "several"),
    [
        ("margin-classification", "margin", "margins"),
        ("multiclass-classification", "probability", "probabilities"),
    ],
)
def test_scores_have_the_name_of_what_they_are(task: str, one: str, several: str) -> None:
    answers: list[dict[str, Any]] = json.loads(predictions(manifest(task), OUTPUTS, 3))
    assert [answer["label"] for answer in answers] == ["positive", "negative", "negative"]
    assert answers[0] == {"label": "positive", one: 1.5, several: {"negative": -1.5, "positive": 1.5}}
    assert answer_tensors(manifest(task), OUTPUTS, 3)[0].data == ["positive", "negative", "negative"]


def test_a_detection_lists_what_was_found_and_where() -> None:
    row = [1.5, 2, 10, 20, 0.75, 1, *[0.0] * 6]
    outputs = [Tensor("finds", "float32", (2, 2, 6), array("f", [*row, *[0.0] * 12]).tobytes())]
    assert json.loads(predictions(manifest("detection"), outputs, 2)) == [
        [
            {
                "label": "positive",
                "probability": 0.75,
                "box": {"x": 1.5, "y": 2.0, "width": 10.0, "height": 20.0},
            }
        ],
        [],
    ]
    row[2] = float("nan")
    outputs = [Tensor("finds", "float32", (1, 2, 6), array("f", row).tobytes())]
    with pytest.raises(UnusableScores):
        predictions(manifest("detection"), outputs, 1)


def test_labels_and_names_may_hold_whatever_json_and_formats_take_for_theirs() -> None:
    labels = ('100 %s "%(x)d"', "naïve\\\n%")
    odd = manifest("multiclass-classification")._replace(labels=labels)
    answers = json.loads(predictions(odd, OUTPUTS, 3))
    assert answers[0]["probabilities"] == {labels[0]: -1.5, labels[1]: 1.5}
    outputs = [Tensor(label, "int32", (3, 1), array("i", [1, 2, 3]).tobytes()) for label in labels]
    assert json.loads(predictions(manifest("regression"), outputs, 3))[2] == {labels[0]: [3], labels[1]: [3]}
