"""The CDK app of a stage: `payphone deploy` synthesizes it, and so does plain `cdk deploy --all`.

    cdk deploy --all --app "python -m infra.app" [-c stage=dev]

Deployed so, a new model version is not in the stage's registry yet, nor a changed plan in force: that is
done by `payphone deploy`, before and after this.

PAYPHONE_STATE and PAYPHONE_SERVICE name the state folder and the settings, as for `payphone`. What is
live on the stage is asked of AWS, so credentials are needed even to synthesize.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from infra import tools
from infra.pack import Packed, pack
from infra.rollout import Live, all_live
from infra.service import DEFAULT_PATH, Settings, load
from infra.target import Target, find
from infra.workspace import DEFAULT_ROOT, Workspace

# jsii starts Node as soon as it is imported.
os.environ.setdefault("JSII_NODE", str(tools.node()))

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from infra.stacks.billing import Billing
from infra.stacks.gateway import Gateway
from infra.stacks.parts import Common
from infra.stacks.serving import Serving
from infra.stacks.storage import Storage

# Exports between the stacks are as CDK has always made them; unsaid, it warns at each synthesis.
# The CDK CLI would add metadata to each resource, by which its templates and ours would never be the same.
CONTEXT = {
    "@aws-cdk/core:defaultCrossStackReferences": "strong",
    "aws:cdk:enable-path-metadata": False,
    "aws:cdk:enable-asset-metadata": False,
}


def build(app: cdk.App, target: Target, settings: Settings, packed: Packed, live: Mapping[str, Live]) -> None:
    """Put the stacks of a stage into an app, in the order they are deployed in."""
    common = Common(target, settings.aws)
    options = {"env": cdk.Environment(region=target.region)}
    storage = Storage(app, f"{target.stack}-storage", common, **options)
    gateway = Gateway(app, target.stack, common, settings, packed, storage, **options)
    api_arn = gateway.api.arn_for_execute_api("*", "/*", "*")
    serving = Serving(app, f"{target.stack}-models", common, packed, live, storage, api_arn, **options)
    billing = Billing(app, f"{target.stack}-billing", common, packed, storage, **options)
    for stack in (gateway, serving, billing):
        stack.add_stack_dependency(storage)
    cdk.Tags.of(app).add("payphone:stage", target.stage)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def synthesize(
    folder: Path | None, target: Target, settings: Settings, packed: Packed, live: Mapping[str, Live]
) -> Path:
    """Write the cloud assembly, into `folder` or where the CDK CLI asked for it; gives its folder."""
    app = cdk.App(outdir=str(folder) if folder else None, analytics_reporting=False, post_cli_context=CONTEXT)
    build(app, target, settings, packed, live)
    return Path(app.synth().directory)


def main() -> None:
    """What the CDK CLI runs."""
    settings = load(Path(os.environ.get("PAYPHONE_SERVICE") or DEFAULT_PATH))
    workspace = Workspace(Path(os.environ.get("PAYPHONE_STATE") or DEFAULT_ROOT))
    stage = cdk.App().node.try_get_context("stage")
    target = find(settings.aws, stage)
    packed = pack(settings, workspace.registry(), target, workspace.build)
    synthesize(None, target, settings, packed, all_live(target, settings.models.serve))


if __name__ == "__main__":
    main()
