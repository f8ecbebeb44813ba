import json

import pytest

from models.catalog.entries import CATALOG


def labels(document):
    return [prediction["label"] for prediction in document["predictions"]]


def test_versions_are_promoted_and_rolled_back(pairs):
    assert pairs.json("model", "list")["models"] == [{"name": "pairs", "live": "1", "versions": ["1", "2"]}]
    assert pairs.json("model", "promote", "pairs", "2") == {"model": "pairs", "live": "2", "previous": "1"}
    assert "live already" in pairs.ok("model", "promote", "pairs", "2")
    assert pairs.json("predict", "pairs", "[2, 1]")["version"] == "2"
    assert pairs.json("model", "rollback", "pairs") == {"model": "pairs", "live": "1", "previous": "2"}
    assert "no earlier" in pairs.error("model", "rollback", "pairs")


def test_what_is_known_of_a_version(pairs):
    document = pairs.json("model", "show", "pairs", "--version", "2")
    assert (document["version"], document["live"], document["labels"]) == ("2", False, ["first", "second"])
    text = pairs.ok("model", "show", "pairs")
    assert document["model"]["sha256"] in text
    assert "accuracy 1.0000 on 10 rows" in text
    assert "1, 2" in pairs.ok("model", "list")


def test_the_catalog_is_offered(payphone):
    assert payphone.json("model", "list") == {"models": [], "trainable": sorted(CATALOG)}
    text = payphone.ok("model", "list")
    assert "Sentiment of a film review, by a Transformer" in text
    assert f"payphone model train {sorted(CATALOG)[0]}" in text


def test_data_from_a_file_is_named_and_checked(payphone, tmp_path):
    train = ("model", "train", "spoken-digits", "--data")
    assert "spoken-digits has the data recordings" in payphone.error(*train, "clips=x", code=2)
    (tmp_path / "other.tar.gz").write_bytes(b"other")
    said = payphone.error(*train, f"recordings={tmp_path / 'other.tar.gz'}")
    assert "other.tar.gz has the SHA-256" in said
    assert "no gate for quantization 'int4' (it has: auto, float32" in payphone.error(
        "model", "train", "diagnosis", "--quantize", "int4"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("model", "show", "nothing"), "published: pairs"),
        (("model", "show", "pairs", "--version", "9"), "versions: 1, 2"),
        (("model", "promote", "pairs", "9"), "versions: 1, 2"),
        (("model", "train", "nothing"), "sentiment"),
        (("predict", "nothing", "[1, 2]"), "published: pairs"),
        (("predict", "pairs", "[1, 2, 3]"), "should have the shape"),
        (("predict", "pairs", "one"), "row 1 is not JSON"),
        (("predict", "pairs", "[NaN, 1]"), "row 1 is not JSON"),
        (("predict", "pairs", "--file", "/nowhere/rows.csv"), "/nowhere/rows.csv"),
    ],
)
def test_errors_say_what_was_expected(pairs, arguments, said):
    assert said in pairs.error(*arguments)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.jsonl", '[3, 1]\n\n{"pair": [1, 3]}\n[2, 1]\n[1, 2]\n'),
        ("rows.txt", "[3, 1]\n[1, 3]\n[2, 1]\n[1, 2]\n"),
        ("rows.csv", "x,y\n3,1\n1,3\n2,1\n1,2\n"),
        ("rows.csv", 'id,pair\na,"[3, 1]"\nb,"[1, 3]"\nc,"[2, 1]"\nd,"[1, 2]"\n'),
    ],
)
def test_files_of_every_kind_are_answered_in_batches(pairs, tmp_path, name, text):
    file = tmp_path / name
    file.write_text(text)
    assert labels(pairs.json("predict", "pairs", "--file", str(file))) == ["first", "second"] * 2


def test_a_pipe_is_answered(pairs):
    assert labels(pairs.json("predict", "pairs", "-", stdin="[3, 1]\n[1, 3]\n")) == ["first", "second"]


def test_no_rows_and_bad_rows(pairs, tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("x,y\n")
    assert "no rows" in pairs.error("predict", "pairs", "--file", str(file))
    file.write_text("x,y\n1,2\n1,\n")
    assert "row 2 is not JSON" in pairs.error("predict", "pairs", "--file", str(file))


def test_a_tampered_model_answers_nothing(pairs):
    file = pairs.place.models / "pairs" / "1" / "model.tflite"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert "SHA-256 differs" in pairs.error("predict", "pairs", "[1, 2]")


def test_the_real_model_reads_texts(trained, tmp_path):
    good, bad = (
        "A wonderful film, one of the best I have seen.",
        "Awful. The worst waste of time, boring and dull.",
    )
    assert labels(trained.json("predict", "sentiment", good)) == ["positive"]
    file = tmp_path / "rows.txt"
    file.write_text(f"{good}\n{bad}\n")
    assert labels(trained.json("predict", "sentiment", "--file", str(file))) == ["positive", "negative"]
    text = trained.ok("predict", "sentiment", "--file", str(file))
    assert good[:40] in text
    assert "negative" in text
    file = tmp_path / "rows.csv"
    file.write_text(f'id,text\n1,"{good}"\n2,"{bad}"\n')
    assert labels(trained.json("predict", "sentiment", "--file", str(file))) == ["positive", "negative"]
    file.write_text("id,review\n1,x\n")
    assert "text was expected" in trained.error("predict", "sentiment", "--file", str(file))


def test_training_again_gives_what_there_is(payphone, sentiment_workspace, sentiment):
    same = payphone._replace(place=sentiment_workspace)
    document = same.json("model", "train", "sentiment")
    assert (document["reused"], document["version"]) == (True, sentiment.manifest.version)
    assert document["parity"]["agreement"] == sentiment.manifest.parity.agreement
    text = same.ok("model", "train", "sentiment")
    assert "Nothing has changed" in text
    assert json.dumps(document["parity"]["rows"]) in text.replace(",", "")
