"""Templates of a stage: the real app with cdk-nag, over small zips in place of what is packed."""

import json

import pytest

from infra.app import synthesize
from infra.pack import HANDLERS, Packed, PackedModel
from infra.service import Settings
from infra.service_aws import Aws
from infra.target import Target
from layers.archive import write
from models.manifest import Gate, Manifest, Parity, Preprocess, describe_file

TARGET = Target("prod", "eu-central-1", "3.13", "x86_64", False)
PLANS = {
    "trial": {"name": "trial", "currency": "USD", "price_per_call": 0, "rate": 2, "burst": 5, "quota": 500},
    "pro-2": {"name": "pro-2", "currency": "USD", "price_per_call": "0.001"},
}


def manifest(name, version):
    return Manifest(
        name=name,
        version=version,
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
        model=describe_file("model.tflite", b""),
        recipe="",
    )


class Synthesized:
    """The templates of a stage by stack ("" is the main one), and ways to look into them."""

    def __init__(self, assembly):
        stem = TARGET.stack
        self.templates = {
            part: json.loads((assembly / f"{stem}{part}.template.json").read_text())
            for part in ("", "-storage", "-models", "-billing")
        }

    def of_type(self, kind, part=None):
        """Resources of a type by logical id, of one stack or of all."""
        chosen = self.templates.values() if part is None else [self.templates[part]]
        return {
            name: body
            for template in chosen
            for name, body in template["Resources"].items()
            if body["Type"] == f"AWS::{kind}"
        }

    def one(self, kind, start, part=None):
        """The properties of the one resource of a type whose logical id starts so."""
        found = [body for name, body in self.of_type(kind, part).items() if name.startswith(start)]
        assert len(found) == 1, (kind, start, sorted(self.of_type(kind, part)))
        return found[0]["Properties"]


@pytest.fixture(scope="session")
def stage(tmp_path_factory):
    """Synthesize a stage that serves models (names to versions)."""

    def make(served, live=None, plans=None, **aws):
        folder = tmp_path_factory.mktemp("stage")
        settings = Settings.model_validate(
            {
                "service": {"name": "Test", "currency": "USD"},
                "models": {"serve": tuple(served)},
                "aws": Aws.model_validate(aws),
                "plans": plans or PLANS,
            }
        )

        def archive(name):
            return write(name, {"content": name.encode()}, folder)

        packed_models = []
        for name, version in served.items():
            chosen = settings.aws.model(name)
            layer = archive(f"model-{name}-{version}") if chosen.artifact == "layer" else None
            packed_models.append(PackedModel(manifest(name, version), chosen, layer))
        code = {name: archive(name) for name in HANDLERS}
        packed = Packed(code, archive("runtime"), archive("web"), tuple(packed_models), ())
        return Synthesized(synthesize(folder / "assembly", TARGET, settings, packed, live or {}))

    return make


@pytest.fixture(scope="session")
def plain(stage):
    """A stage with the defaults."""
    return stage({"sentiment": "1"})
