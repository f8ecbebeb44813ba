"""Brought models are served as their own framework answers."""

import json
from pathlib import Path

import numpy as np
import pytest

from functions.inference import engine
from functions.inference.answers import predictions
from functions.inference.codec import tensors_from_instances
from functions.preprocess.tensors import InputError
from infra.adopt.adopt import Adopted, adopt
from infra.adopt.file_kinds import AdoptError
from infra.workspace import Workspace


def answers(place: Workspace, adopted: Adopted, instances: list) -> list:
    """What the published version says, as a caller sees it."""
    registry, manifest = place.registry(), adopted.manifest
    model = engine.load(manifest, lambda name: registry.read(manifest, name))
    try:
        found = []
        for at in range(0, len(instances), manifest.max_instances):
            batch = instances[at : at + manifest.max_instances]
            outputs = model.run(
                model.prepare(tensors_from_instances(batch, model.inputs, model.takes_missing))
            )
            found += json.loads(predictions(manifest, outputs, len(batch)))
        return found
    finally:
        model.close()


def kept(brought: Path, name: str) -> tuple[dict, dict]:
    saved = np.load(brought / f"{name}.npz")
    given = {key.removeprefix("in:"): saved[key] for key in saved if key.startswith("in:")}
    return given, {key.removeprefix("out:"): saved[key] for key in saved if key.startswith("out:")}


@pytest.mark.parametrize("file", ["cnn.keras", "cnn.h5", "cnn"])
def test_keras_in_all_its_forms_answers_as_keras(brought: Path, place: Workspace, file: str) -> None:
    given, expected = kept(brought, "cnn")
    adopted = adopt(brought / file, "cnn", place, labels=["a", "b", "c"])
    assert adopted.live
    assert (adopted.manifest.task, adopted.manifest.quantization) == ("multiclass-classification", "float32")
    found = answers(place, adopted, given["image"].tolist())
    scores = [list(item["probabilities"].values()) for item in found]
    np.testing.assert_allclose(scores, expected["scores"], atol=1e-5)
    assert [item["label"] for item in found] == [
        "abc"[int(number)] for number in expected["scores"].argmax(axis=1)
    ]
    assert "made-up rows" in adopted.notes[-1]


def test_a_recurrent_model_needs_no_conversion_by_its_owner(brought: Path, place: Workspace) -> None:
    given, expected = kept(brought, "rnn")
    adopted = adopt(brought / "rnn.keras", "rnn", place)
    found = answers(place, adopted, given["steps"].tolist())
    np.testing.assert_allclose(found, expected["value"], atol=1e-5)


def test_a_sample_of_real_rows_lets_weights_shrink(brought: Path, place: Workspace, tmp_path: Path) -> None:
    given, _ = kept(brought, "cnn")
    sample = tmp_path / "rows.csv"
    header = ",".join(f"p{number}" for number in range(64))
    lines = [",".join(map(str, row.ravel())) for row in given["image"]]
    sample.write_text("\n".join([header, *lines]) + "\n")
    adopted = adopt(brought / "cnn.keras", "cnn", place, sample=sample)
    candidates = {item["quantization"]: item for item in adopted.manifest.training["candidates"]}
    assert candidates.keys() == {"float32", "float16", "dynamic-int8"}
    assert all(item["rows"] == 40 for item in candidates.values())
    assert adopted.manifest.quantization != "float32"
    assert adopted.request["instances"][0] == given["image"][0].astype(float).tolist() or np.allclose(
        adopted.request["instances"][0], given["image"][0]
    )


@pytest.mark.parametrize("file", ["int8.tflite", "uint8_unsigned.tflite"])
def test_quantised_tensors_are_floats_to_the_caller(brought: Path, place: Workspace, file: str) -> None:
    given, expected = kept(brought, "cnn")
    adopted = adopt(brought / file, "quantised", place, labels=["a", "b", "c"])
    manifest = adopted.manifest
    (image,), (scores,) = manifest.signatures["predict"]
    assert (image.dtype, scores.dtype, manifest.max_instances) == ("float32", "float32", 1)
    found = answers(place, adopted, given["image"].tolist())
    values = np.array([list(item["probabilities"].values()) for item in found])
    np.testing.assert_allclose(values, expected["scores"], atol=0.03)
    assert len(np.unique(np.round(values * 256, 3) % 1)) == 1  # steps of the output's scale, 1/256
    assert sum("quantised (scale 0.0039" in note for note in adopted.notes) >= 1


def test_raw_leaves_quantised_tensors_as_they_are(brought: Path, place: Workspace) -> None:
    adopted = adopt(brought / "int8.tflite", "raw", place, raw=True)
    (image,), (scores,) = adopted.manifest.signatures["predict"]
    assert (image.dtype, scores.dtype) == ("int8", "int8")
    (found,) = answers(place, adopted, [np.full((8, 8, 1), -128, int).tolist()])
    assert all(isinstance(value, int) and -128 <= value <= 127 for value in found)


def test_labels_in_the_file_are_used(brought: Path, place: Workspace) -> None:
    adopted = adopt(brought / "labelled.tflite", "pets", place)
    assert adopted.manifest.labels == ("cat", "dog", "owl")
    assert answers(place, adopted, [[0, 9, 0]])[0]["label"] == "dog"
    named = adopt(brought / "labelled.tflite", "pets", place, labels=["x", "y", "z"])
    assert (named.manifest.version, named.live, named.manifest.labels) == ("2", False, ("x", "y", "z"))


def test_several_inputs_and_outputs(brought: Path, place: Workspace) -> None:
    given, expected = kept(brought, "several")
    adopted = adopt(brought / "several.tflite", "several", place)
    rows = [{"a": a.tolist(), "b": b.tolist()} for a, b in zip(given["a"], given["b"], strict=True)]
    found = answers(place, adopted, rows)
    np.testing.assert_allclose([item["sum"] for item in found], expected["sum"], rtol=1e-6)
    assert [item["twice"] for item in found] == expected["twice"].tolist()


def test_one_signature_of_several_is_chosen(brought: Path, place: Workspace) -> None:
    with pytest.raises(AdoptError, match="signatures double, triple: choose one with --signature"):
        adopt(brought / "two.tflite", "two", place)
    adopted = adopt(brought / "two.tflite", "two", place, signature="triple")
    assert answers(place, adopted, [[1, 2]]) == [[3, 6]]


def test_a_graph_without_signature_gets_names_to_call_it_by(brought: Path, place: Workspace) -> None:
    adopted = adopt(brought / "unsigned.tflite", "unsigned", place)
    (given,), (output,) = adopted.manifest.signatures["predict"]
    assert (given.name, output.name) == ("x", "output")
    assert answers(place, adopted, [[1, 2], [3, 4]]) == [[2, 4], [6, 8]]
    assert "no signature" in adopted.notes[0]


def test_free_dimensions_stay_free(brought: Path, place: Workspace) -> None:
    adopted = adopt(brought / "free.tflite", "free", place)
    assert adopted.manifest.signatures["predict"].inputs[0].shape == (-1, -1, 3)
    assert adopted.manifest.max_instances == 64
    assert answers(place, adopted, [[[1, 2, 3]]]) == [2]
    assert answers(place, adopted, [[[1, 2, 3], [4, 5, 6]]]) == [3.5]


def test_a_fixed_batch_is_the_size_of_every_request(brought: Path, place: Workspace) -> None:
    adopted = adopt(brought / "batch_of_two.tflite", "pairs", place)
    assert adopted.manifest.max_instances == 2
    assert answers(place, adopted, [[1, 2, 3], [4, 5, 6]]) == [[2, 3, 4], [5, 6, 7]]


@pytest.mark.parametrize(("file", "source"), [("forest.skops", "forest"), ("booster.pkl", "booster")])
def test_estimators_from_files_and_pickles(brought: Path, place: Workspace, file: str, source: str) -> None:
    is_pickle = not file.endswith("skops")
    if is_pickle:
        with pytest.raises(AdoptError, match=r"is a pickle, and opening one runs whatever code.* --trust"):
            adopt(brought / file, "iris", place)
    given, expected = kept(brought, source)
    adopted = adopt(brought / file, "iris", place, trust=is_pickle)
    names = ("0", "1", "2") if source == "booster" else ("setosa", "versicolor", "virginica")
    assert adopted.manifest.labels == names
    found = answers(place, adopted, given["features"].tolist())
    np.testing.assert_allclose(
        [list(item["probabilities"].values()) for item in found], expected["scores"], atol=1e-5
    )


@pytest.mark.parametrize(
    ("file", "output"),
    [
        ("forest.joblib", "scores"),
        ("booster.json", "scores"),
        ("light.txt", "values"),
        ("imputed.joblib", "scores"),
    ],
)
def test_null_is_a_missing_value_where_the_source_takes_one(
    brought: Path, place: Workspace, tmp_path: Path, file: str, output: str
) -> None:
    given, expected = kept(brought, f"holes in {file.partition('.')[0]}")
    rows = [[None if np.isnan(value) else value for value in row] for row in given["features"].tolist()]
    sample = tmp_path / "rows.csv"
    names = ["sepal_l", "sepal_w", "petal_l", "petal_w"][: len(rows[0])]
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    sample.write_text("\n".join(map(",".join, [names, *cells])) + "\n")
    adopted = adopt(brought / file, "holes", place, sample=sample, trust=file.endswith("joblib"))
    assert adopted.manifest.parity.rows == 150
    assert "null in JSON" in adopted.notes[0]
    found = answers(place, adopted, rows)
    if output == "scores":
        found = [
            [*(item["probabilities"] if isinstance(item, dict) else dict(enumerate(item))).values()]
            for item in found
        ]
    np.testing.assert_allclose(found, expected[output], atol=1e-5)


def test_null_is_refused_where_the_source_refuses_it(brought: Path, place: Workspace) -> None:
    adopted = adopt(brought / "logistic.joblib", "logistic", place, trust=True)
    assert not any("null" in note for note in adopted.notes)
    with pytest.raises(InputError, match="a null came"):
        answers(place, adopted, [[1, None, 3, 4]])


def test_a_model_of_texts_takes_texts(brought: Path, place: Workspace) -> None:
    given, expected = kept(brought, "reviewer")
    adopted = adopt(brought / "reviewer.skops", "reviewer", place)
    assert adopted.manifest.preprocess.kind == "tfidf"
    (made_up,) = adopted.request["instances"]
    assert set(made_up.split()) <= {"good", "film", "bad", "acting", "story", "boring", "and"}
    found = answers(place, adopted, given["text"].tolist())
    assert [item["label"] for item in found] == ["pro", "contra", "pro", "contra"]
    np.testing.assert_allclose(
        [[item["margins"][name] for name in ("contra", "pro")] for item in found],
        expected["decision"],
        atol=1e-5,
    )


def test_xgboost_s_own_file_takes_rows_by_name(brought: Path, place: Workspace, tmp_path: Path) -> None:
    """The sample has the columns in another order, and the target between them."""
    given, expected = kept(brought, "booster")
    sample = tmp_path / "rows.csv"
    lines = [f"{d},0,{c},{b},{a}" for a, b, c, d in given["features"].tolist()]
    sample.write_text("\n".join(["petal_w,target,petal_l,sepal_w,sepal_l", *lines]) + "\n")
    adopted = adopt(brought / "booster.ubj", "iris", place, sample=sample, labels=["a", "b", "c"])
    assert adopted.manifest.parity.rows == 150
    assert adopted.request["instances"][0].keys() == {"sepal_l", "sepal_w", "petal_l", "petal_w"}
    found = answers(place, adopted, given["features"].tolist())
    np.testing.assert_allclose(
        [list(item["probabilities"].values()) for item in found], expected["scores"], atol=1e-5
    )


def test_lightgbm_s_own_file(brought: Path, place: Workspace) -> None:
    given, expected = kept(brought, "light")
    adopted = adopt(brought / "light.txt", "light", place)
    assert adopted.manifest.source["framework"] == "lightgbm"
    found = answers(place, adopted, given["features"].tolist())
    np.testing.assert_allclose(found, expected["values"], atol=1e-5)


def test_it_tells_what_it_does(brought: Path, place: Workspace) -> None:
    told: list[tuple[str, bool]] = []
    adopt(brought / "bare.tflite", "bare", place, lambda event: told.append((event.step, event.finished)))
    assert [step for step, finished in told if finished] == ["open", "prove", "publish"]
    assert ("open", False) in told


def test_the_manifest_says_where_it_came_from(brought: Path, place: Workspace) -> None:
    manifest = adopt(brought / "bare.tflite", "bare", place, licence="MIT").manifest
    assert manifest.licence == "MIT"
    assert manifest.training["data"]["model"]["source"] == "bare.tflite"
    assert manifest.training["data"]["model"]["sha256"] == manifest.recipe
    assert json.loads(manifest.to_json())["family"] == "brought"
