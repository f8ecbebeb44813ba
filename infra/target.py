"""Where a deploy goes: the stage, its region, and what its functions run on.

On AWS that is what service.toml says. A local AWS (an emulator on this machine, which
AWS_ENDPOINT_URL leads to) runs functions on this machine's own Python and CPU whatever they ask for,
so there zips are built for these.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import boto3

from infra.service_aws import STAGE_PATTERN, Aws

LOOPBACK = ("localhost", "127.0.0.1", "::1")
MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


class BadStage(ValueError):
    """What was given is no name of a stage."""


class Target(NamedTuple):
    """One stage of the service. `python` is as in "3.13", `machine` is "x86_64" or "arm64"."""

    stage: str
    region: str
    python: str
    machine: str
    is_local: bool

    @property
    def stack(self) -> str:
        """The main stack, whose outputs name everything; the others add a part to its name."""
        return f"payphone-{self.stage}"

    def function(self, model: str) -> str:
        """The name of a model's Lambda function."""
        return f"{self.stack}-predict-{model}"

    def client(self, service: str) -> Any:
        """A boto3 client in the stage's region, with the credentials of the environment."""
        return boto3.client(service, region_name=self.region)


def find(aws: Aws, stage: str | None = None) -> Target:
    """The target that service.toml names, or another stage beside it; BadStage."""
    chosen = stage or aws.stage
    if not re.fullmatch(STAGE_PATTERN, chosen):
        raise BadStage(f"{chosen!r} is no stage: up to 16 lower-case letters and digits were expected")
    if urlsplit(os.environ.get("AWS_ENDPOINT_URL", "")).hostname in LOOPBACK:
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        return Target(chosen, aws.region, python, MACHINES[platform.machine().lower()], True)
    return Target(chosen, aws.region, aws.python, aws.machine, False)
