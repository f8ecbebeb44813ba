"""Third stage of a deploy: the CDK command line over an assembly that is already synthesized.

What it prints goes to a log file; of a failure the last lines come back in the error.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from infra import tools
from infra.target import Target

TOOLKIT = "CDKToolkit"  # the stack that `cdk bootstrap` makes, once per account and region
LAST_LINES = 30


class DeployFailed(Exception):
    """CloudFormation or the CDK refused; what was deployed before still serves."""


class Cdk:
    """Runs the CDK CLI for one stage. With `assembly` it takes that, and runs no app."""

    def __init__(self, target: Target, assembly: Path, log: Path) -> None:
        self._target, self._assembly, self._log = target, assembly, log

    def deploy(self, *stacks: str) -> None:
        """Deploy stacks, and nothing else; CloudFormation takes back what it can't finish."""
        self._run("deploy", "--exclusively", "--require-approval=never", "--progress=events", *stacks)

    def diff(self) -> str:
        """What a deploy would change, in the CDK's own words."""
        return self._run("diff")

    def bootstrap(self) -> bool:
        """Make the account's toolkit stack if there is none; says whether it had to be made."""
        client = self._target.client("cloudformation")
        if stack(client, TOOLKIT) is not None:
            return False
        account = self._target.client("sts").get_caller_identity()["Account"]
        self._run("bootstrap", f"aws://{account}/{self._target.region}", app=False)
        return True

    def _run(self, command: str, *arguments: str, app: bool = True) -> str:
        line = [str(tools.cdk()), command, *arguments, "--no-notices", "--no-color", "--ci"]
        if app:
            line += ["--app", str(self._assembly)]
        environment = tools.with_node(dict(os.environ) | {"AWS_REGION": self._target.region})
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a+b") as output:
            start = output.tell()
            done = subprocess.run(  # noqa: S603
                line, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False
            )
            output.seek(start)
            said = output.read().decode(errors="replace")
        if done.returncode:
            tail = "\n".join(said.splitlines()[-LAST_LINES:])
            raise DeployFailed(f"cdk {command} failed; all of it is in {self._log}\n{tail}")
        return said


def stack(client: Any, name: str) -> dict[str, Any] | None:
    """CloudFormation's description of a stack, None if there is none."""
    try:
        found: dict[str, Any] = client.describe_stacks(StackName=name)["Stacks"][0]
    except client.exceptions.ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return None if found["StackStatus"] in ("DELETE_COMPLETE", "REVIEW_IN_PROGRESS") else found


def outputs(client: Any, name: str) -> dict[str, str]:
    """The outputs of a stack; empty if there is none."""
    found = stack(client, name) or {}
    return {entry["OutputKey"]: entry["OutputValue"] for entry in found.get("Outputs", ())}
