"""The small stack that the emulator's own tests deploy to it."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import httpx
import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "stack")]  # modules here run by path, outside any package

from server import REGION, LocalAws  # noqa: E402
from template import key, template  # noqa: E402


class Stack(NamedTuple):
    """The deployed stack: its outputs, a client for its stage, and boto3 clients for the rest."""

    aws: LocalAws
    outputs: dict[str, str]
    http: httpx.Client

    def call(self, path: str = "/echo", *, plan: str | None = "Wide", **options: Any) -> httpx.Response:
        """POST to a path of the stage with a plan's key."""
        headers = ({"x-api-key": key(plan)} if plan else {}) | options.pop("headers", {})
        if not {"content", "json"} & set(options):
            options["json"] = {}
        return self.http.post(self.aws.url(self.outputs["Api"], "prod") + path, headers=headers, **options)

    def client(self, service: str) -> Any:
        """A boto3 client of the local AWS."""
        return client(self.aws, service)


def client(aws: LocalAws, service: str) -> Any:
    access = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, endpoint_url=aws.endpoint, region_name=REGION, verify=False, **access)


def zipped(files: dict[str, Path]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, path in files.items():
            file.write(path, name)
    return archive.getvalue()


@pytest.fixture(scope="session")
def deploy() -> Callable[[LocalAws], AbstractContextManager[Stack]]:
    return deployed


@pytest.fixture(scope="session")
def stack(aws: LocalAws) -> Iterator[Stack]:
    with deployed(aws) as ready:
        yield ready


@contextmanager
def deployed(aws: LocalAws) -> Iterator[Stack]:
    """Deploy the stack as CloudFormation does, from zips in a bucket."""
    s3, formation = client(aws, "s3"), client(aws, "cloudformation")
    s3.create_bucket(Bucket="code")
    archives = {
        "handlers.zip": zipped({"handlers.py": HERE / "stack" / "handlers.py"}),
        "layer.zip": zipped({"python/greeting.py": HERE / "stack" / "greeting.py"}),
    }
    for name, data in archives.items():
        s3.put_object(Bucket="code", Key=name, Body=data)
    formation.create_stack(
        StackName="tried", TemplateBody=json.dumps(template()), Capabilities=["CAPABILITY_IAM"]
    )
    formation.get_waiter("stack_create_complete").wait(
        StackName="tried", WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
    )
    described = formation.describe_stacks(StackName="tried")["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
    with httpx.Client(timeout=60) as http:
        yield Stack(aws, outputs, http)
