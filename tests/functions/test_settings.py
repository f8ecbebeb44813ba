import tomllib
from pathlib import Path

import pytest

from functions.settings import KEY_CACHE_SECONDS, VERSION, MissingSetting, read


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("MODEL", "ARTIFACT", "MODELS", "LEDGER_TABLE", "KEY_CACHE_SECONDS"):
        monkeypatch.delenv(f"PAYPHONE_{name}", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    return monkeypatch


def test_what_is_needed_is_missed_by_its_variable(environment):
    assert read("region").region == "eu-west-1"
    for empty in (None, ""):
        if empty is not None:
            environment.setenv("PAYPHONE_LEDGER_TABLE", empty)
        with pytest.raises(MissingSetting, match="PAYPHONE_LEDGER_TABLE is not set"):
            read("region", "ledger_table")
    environment.delenv("AWS_REGION")
    with pytest.raises(MissingSetting, match="AWS_REGION"):
        read("region")


def test_a_model_lies_in_its_layer_unless_said_otherwise(environment):
    environment.setenv("PAYPHONE_MODEL", "sentiment")
    assert read().artifact == "/opt/payphone/sentiment"
    environment.setenv("PAYPHONE_ARTIFACT", "s3://bucket/models/sentiment/1")
    assert read().artifact == "s3://bucket/models/sentiment/1"


def test_names_are_split(environment):
    assert read().models == ()
    environment.setenv("PAYPHONE_MODELS", "sentiment,spam")
    assert read().models == ("sentiment", "spam")


def test_the_cache_time_is_a_number_of_seconds(environment):
    assert read().key_cache_seconds == KEY_CACHE_SECONDS
    environment.setenv("PAYPHONE_KEY_CACHE_SECONDS", "0.5")
    assert read().key_cache_seconds == 0.5
    for wrong in ("soon", "-1", "nan", "1e9"):
        environment.setenv("PAYPHONE_KEY_CACHE_SECONDS", wrong)
        with pytest.raises(MissingSetting, match="from 0 to 3600"):
            read()


def test_the_version_is_that_of_the_project():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION
