"""`payphone deploy`: from the models and settings of this machine to a stage that answers calls.

    pack        code and layers, held against Lambda's limits            pack.py
    synthesize  templates, with what is live now read from the stage     app.py, rollout.py
    storage     tables and buckets, before what needs them               cdk.py
    publish     models into the stage's bucket                           publish.py
    serve       gateway, functions, meter                                cdk.py
    charge      plans in force                                           plans.py

Each step can be repeated. Until "serve" nothing that answers calls has changed; if that fails,
CloudFormation goes back to what was there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from infra.cdk import Cdk, outputs
from infra.cloud.stage import Stage
from infra.pack import Packed, pack
from infra.plans import publish_plans
from infra.publish import publish_models
from infra.rollout import all_live
from infra.service import Settings
from infra.target import Target
from infra.workspace import Workspace
from models.registry import Registry
from models.s3 import S3Store

REGISTRY_PREFIX = "models/"
STEPS = 6
"""How many steps `deploy` tells of, where it has to prepare the account."""


class Deployed(NamedTuple):
    """A finished deploy.

    `models` has the version by name that was made ready, `live` the one that answers calls;
    `layer_bytes` is what all layers have zipped.
    """

    outputs: dict[str, str]
    models: dict[str, str]
    live: dict[str, str]
    layer_bytes: int
    seconds: float


def deploy(
    settings: Settings, workspace: Workspace, target: Target, on_step: Callable[[str], None]
) -> Deployed:
    """Deploy everything that is new. OverBudget, UnknownModel, NumberTaken, DeployFailed."""
    began = time.monotonic()
    on_step("Packing code and layers")
    packed, cdk = assemble(settings, workspace, target)
    if cdk.bootstrap():
        on_step(f"Prepared {target.region} for CDK")
    on_step("Deploying storage")
    storage = f"{target.stack}-storage"
    cdk.deploy(storage)
    formation = target.client("cloudformation")
    bucket = outputs(formation, storage)["ModelsBucket"]
    on_step("Publishing models")
    there = Registry(S3Store(bucket, REGISTRY_PREFIX, target.client("s3")))
    publish_models((model.manifest for model in packed.models), workspace.registry(), there)
    on_step("Deploying the gateway, the models and the meter")
    cdk.deploy(*(f"{target.stack}{part}" for part in ("", "-models", "-billing")))
    on_step("Putting plans in force")
    stage = Stage(target)
    for limits in publish_plans(settings, stage).values():
        stage.keys().set_plan(limits)  # its usage plan is another one if the stage was destroyed before
    live = {name: one.model_version for name, one in all_live(target, settings.models.serve).items()}
    versions = {model.manifest.name: model.manifest.version for model in packed.models}
    layers = [packed.runtime, packed.web, *(model.layer for model in packed.models if model.layer)]
    size = sum(layer.zipped for layer in layers)
    return Deployed(stage.outputs, versions, live, size, time.monotonic() - began)


def assemble(settings: Settings, workspace: Workspace, target: Target) -> tuple[Packed, Cdk]:
    """Pack and synthesize, without changing anything on the stage but reading what is live there."""
    packed = pack(settings, workspace.registry(), target, workspace.build)
    from infra.app import synthesize  # starts Node

    folder = workspace.build.absolute() / "assembly" / target.stage
    live = all_live(target, settings.models.serve)
    assembly = synthesize(folder, target, settings, packed, live)
    return packed, Cdk(target, assembly, log_file(workspace, target))


def log_file(workspace: Workspace, target: Target) -> Path:
    """Where the CDK's own words of all deploys of a stage are."""
    return workspace.logs / f"deploy-{target.stage}.log"
