"""The stages of a deploy that need no AWS, and those that moto answers for."""

import io
import json
import zipfile

import boto3
import pytest
from moto import mock_aws

from infra import rollout, tools
from infra.pack import NameTooLong, Packed, pack
from infra.publish import NumberTaken, publish_models
from infra.rollout import NotDeployed
from infra.service import load
from infra.service_aws import Aws
from infra.target import BadStage, Target, find
from infra.teardown import NotThere, destroy, drop_secrets
from layers.budget import OverBudget
from models.manifest import Gate, Manifest, Parity, Preprocess, describe_file
from models.registry import Registry, UnknownModel
from models.store import LocalStore

SERVICE = """
[service]
name = "Test"
currency = "USD"
[models]
serve = ["pairs"]
[aws]
region = "eu-central-1"
python = "3.12"
[plans.open]
price_per_call = 0.002
"""
TARGET = Target("test", "us-east-1", "3.13", "x86_64", False)
DATA = b"a model"


def manifest(data=DATA):
    return Manifest(
        name="pairs",
        version="",
        family="rule",
        task="multiclass-classification",
        signatures={},
        preprocess=Preprocess("none", {}, ()),
        labels=(),
        max_instances=1,
        source={},
        quantization="float32",
        parity=Parity(10, 1.0, 0.0, Gate(10, 1.0, 0.0)),
        training={},
        licence="",
        model=describe_file("model.tflite", data),
        recipe="",
    )


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "service.toml"
    path.write_text(SERVICE)
    return load(path)


@pytest.fixture
def here(tmp_path):
    """A registry with version 1 of a model."""
    registry = Registry(LocalStore(tmp_path / "here"))
    registry.publish(manifest(), {"model.tflite": DATA})
    return registry


@pytest.fixture
def aws(monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield


class TestTarget:
    def test_a_real_account_gets_what_service_toml_names(self, settings, monkeypatch):
        monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
        assert find(settings.aws) == Target("prod", "eu-central-1", "3.12", "x86_64", False)
        assert find(settings.aws, "dev").stack == "payphone-dev"

    def test_a_local_aws_runs_this_machines_python(self, settings, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
        found = find(settings.aws)
        assert found.is_local
        assert tuple(map(int, found.python.split("."))) >= (3, 11)
        monkeypatch.setenv("AWS_ENDPOINT_URL", "https://vpce.example.com")
        assert not find(settings.aws).is_local

    @pytest.mark.parametrize("stage", ["Prod", "a-b", "a" * 17, "1a", "../x"])
    def test_what_is_no_name_of_a_stage(self, stage):
        with pytest.raises(BadStage, match="lower-case letters and digits"):
            find(Aws(), stage)


class TestPack:
    def test_each_function_has_its_own_modules_and_layers(self, settings, here, tmp_path):
        target = find(settings.aws)
        packed: Packed = pack(settings, here, target, tmp_path / "build")
        assert "functions/handlers/predict.py" in packed.code["predict"].files
        assert not any(name.startswith("infra/") for name in packed.code["control"].files)
        assert not any("fastapi" in name for name in packed.code["predict"].files)
        (model,) = packed.models
        assert set(model.layer.files) == {
            "payphone/pairs/manifest.json",
            "payphone/pairs/model.tflite",
        }
        assert packed.runtime.unzipped <= 10_000_000
        again = pack(settings, here, target, tmp_path / "build")
        assert again.runtime == packed.runtime._replace(notes=again.runtime.notes)
        assert {zipfile.ZipFile(one.path).testzip() for one in packed.code.values()} == {None}

    def test_a_model_that_is_not_published(self, settings, tmp_path):
        nothing = Registry(LocalStore(tmp_path / "nothing"))
        with pytest.raises(UnknownModel, match="payphone model train pairs"):
            pack(settings, nothing, find(settings.aws), tmp_path / "build")

    def test_a_name_that_no_function_can_have(self, settings, here, tmp_path):
        long = settings.models.model_copy(update={"serve": ("a" * 50,)})
        with pytest.raises(NameTooLong, match="and Lambda takes 64"):
            pack(settings.model_copy(update={"models": long}), here, TARGET, tmp_path / "build")

    def test_over_lambdas_limit_it_stops_and_s3_goes(self, settings, here, tmp_path, monkeypatch):
        monkeypatch.setattr("layers.budget.UNZIPPED", 30_000_000)
        data = bytes(25_000_000)
        here.publish(manifest(data), {"model.tflite": data})
        here.promote("pairs", "2")
        with pytest.raises(OverBudget, match="S3"):
            pack(settings, here, find(settings.aws), tmp_path / "build")
        aws = Aws.model_validate({"models": {"pairs": {"artifact": "s3"}}})
        packed = pack(settings.model_copy(update={"aws": aws}), here, find(aws), tmp_path / "build")
        assert packed.models[0].layer is None


class TestPublish:
    def test_versions_keep_their_numbers_and_the_first_is_live(self, here, tmp_path):
        there = Registry(LocalStore(tmp_path / "there"))
        here.publish(manifest(), {"model.tflite": DATA})
        for _ in range(2):
            publish_models([here.manifest("pairs", "2")], here, there)
        assert (there.versions("pairs"), there.live("pairs")) == (["2"], "2")
        publish_models([here.manifest("pairs", "1")], here, there)
        assert (there.versions("pairs"), there.live("pairs")) == (["1", "2"], "2")

    def test_a_number_that_another_machine_took(self, here, tmp_path):
        there = Registry(LocalStore(tmp_path / "there"))
        there.publish(manifest(b"another"), {"model.tflite": b"another"})
        with pytest.raises(NumberTaken, match=r"pairs/1/model\.tflite"):
            publish_models([here.manifest("pairs", "1")], here, there)
        assert there.read(there.manifest("pairs"), "model.tflite") == b"another"


@pytest.fixture
def function(aws):
    """A deployed function with two published versions, the first of them live."""
    client = boto3.client("lambda", region_name=TARGET.region)
    iam = boto3.client("iam")
    role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps({"Statement": []}))["Role"][
        "Arn"
    ]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("f.py", "")
    name = TARGET.function("pairs")

    def variables(version):
        return {"Variables": {rollout.VERSION_VARIABLE: version}}

    client.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=role,
        Handler="f.f",
        Code={"ZipFile": archive.getvalue()},
        Environment=variables("1"),
        Publish=True,
    )
    client.create_alias(FunctionName=name, Name=rollout.ALIAS, FunctionVersion="1")
    client.update_function_configuration(FunctionName=name, Environment=variables("2"))
    client.publish_version(FunctionName=name)
    return client


class TestRollout:
    @pytest.fixture
    def registry(self, here):
        here.publish(manifest(), {"model.tflite": DATA})
        return here

    def test_promote_and_roll_back(self, function, registry):
        assert rollout.live(TARGET, "pairs") == rollout.Live("1", "1", {})
        assert rollout.deployed(TARGET, "pairs") == {"1": "1", "2": "2"}
        assert rollout.promote(TARGET, registry, "pairs", "2") == "1"
        assert rollout.live(TARGET, "pairs").model_version == registry.live("pairs") == "2"
        assert rollout.rollback(TARGET, registry, "pairs") == ("2", "1")
        assert rollout.live(TARGET, "pairs").model_version == registry.live("pairs") == "1"
        with pytest.raises(UnknownModel, match="no earlier"):
            rollout.rollback(TARGET, registry, "pairs")

    def test_a_trial_and_its_end(self, function, registry):
        rollout.promote(TARGET, registry, "pairs", "2", 0.25)
        assert rollout.live(TARGET, "pairs") == rollout.Live("1", "1", {"2": 0.25})
        assert registry.live("pairs") == "1"
        assert rollout.rollback(TARGET, registry, "pairs") == ("1", "1")
        assert rollout.live(TARGET, "pairs").trial == {}

    def test_what_is_not_on_the_stage(self, function, registry):
        with pytest.raises(NotDeployed, match="version 7 of pairs is not on stage test yet"):
            rollout.promote(TARGET, registry, "pairs", "7")
        with pytest.raises(NotDeployed, match="has no model other"):
            rollout.promote(TARGET, registry, "other", "1")
        assert rollout.all_live(TARGET, ["pairs", "other"]).keys() == {"pairs"}


def test_destroying_what_is_not_there(aws):
    with pytest.raises(NotThere, match="no stage test"):
        destroy(TARGET, with_data=True, on_step=lambda step: None)


def test_webhooks_secrets_of_a_stage_go_and_no_others(aws):
    client = boto3.client("ssm", region_name=TARGET.region)
    ours = [f"/{TARGET.stack}/webhooks/wh_{n}" for n in range(12)]
    for name in (*ours, "/payphone-test2/webhooks/wh_1"):
        client.put_parameter(Name=name, Value="secret", Type="SecureString")
    drop_secrets(TARGET)
    left = client.describe_parameters()["Parameters"]
    assert [parameter["Name"] for parameter in left] == ["/payphone-test2/webhooks/wh_1"]


def test_node_and_the_cdk_are_the_pinned_ones(tmp_path):
    environment = tools.with_node({"PATH": "/bin"})
    assert environment["PATH"] == f"{tools.node().parent}:/bin"
    assert tools.cdk().is_file()
