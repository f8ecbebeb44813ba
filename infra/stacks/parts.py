"""What all stacks are made of: functions with a role, a log and a version, under names that stay.

Nothing here grants by convenience: a role gets the statements it is given, the right to write its own
log, and an explicit denial of API Gateway's key values, which no grant elsewhere can lift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.service_aws import RETENTION_DAYS, Aws
from infra.target import Target

RUNTIMES = {
    "3.11": lambda_.Runtime.PYTHON_3_11,
    "3.12": lambda_.Runtime.PYTHON_3_12,
    "3.13": lambda_.Runtime.PYTHON_3_13,
    "3.14": lambda_.Runtime.PYTHON_3_14,
}
RETENTION = dict(zip(RETENTION_DAYS, logs.RetentionDays, strict=False))  # CDK names them in this order
MACHINES = {"x86_64": lambda_.Architecture.X86_64, "arm64": lambda_.Architecture.ARM_64}

OLDER_PYTHON = {"L1": "service.toml names the Python version; it takes only those that AWS supports."}


class Common(NamedTuple):
    """What every stack is told."""

    target: Target
    aws: Aws


class Deployed(NamedTuple):
    """How one function is deployed: memory in MB, timeout in seconds."""

    handler: str
    code: Path
    layers: Sequence[lambda_.ILayerVersion]
    environment: Mapping[str, str]
    memory: int
    timeout: int
    description: str
    reserved_concurrency: int | None = None
    snap_start: bool = False


def logical(name: str) -> str:
    """A name of ours as part of a CloudFormation id, which takes letters and digits only.

    Names are lower-case, so capitals can stand for what is not allowed, and no two names meet.
    """
    return name.replace("-", "X").replace("_", "Y")


def allow(actions: Sequence[str], *resources: str) -> iam.PolicyStatement:
    """Grant some actions on some resources."""
    return iam.PolicyStatement(actions=list(actions), resources=list(resources))


def role(scope: Construct, name: str, service: str, *statements: iam.PolicyStatement) -> iam.Role:
    """A role for an AWS service with these rights, and without the right to read API keys."""
    stack = cdk.Stack.of(scope)
    keys = f"arn:{stack.partition}:apigateway:{stack.region}::/apikeys"
    denied = iam.PolicyStatement(
        effect=iam.Effect.DENY, actions=["apigateway:GET"], resources=[keys, f"{keys}/*"]
    )
    return iam.Role(
        scope,
        name,
        assumed_by=iam.ServicePrincipal(service),
        inline_policies={"rights": iam.PolicyDocument(statements=[*statements, denied])},
    )


def function(
    scope: Construct,
    name: str,
    common: Common,
    deployed: Deployed,
    statements: Sequence[iam.PolicyStatement],
    key: kms.IKey | None,
    function_name: str | None = None,
) -> lambda_.Function:
    """A function whose role may do what `statements` say and write its own log, nothing else.

    Its log has what the code says and no line of the platform's own per call: at this size those
    would cost as much as the call's row.
    """
    log = logs.LogGroup(
        scope,
        f"{name}Log",
        retention=RETENTION[common.aws.log_retention_days],
        encryption_key=key,
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )
    writes = [allow(["logs:CreateLogStream", "logs:PutLogEvents"], log.log_group_arn)]
    if key:
        writes.append(allow(["kms:Decrypt", "kms:GenerateDataKey"], key.key_arn))
    return lambda_.Function(
        scope,
        name,
        function_name=function_name,
        description=deployed.description,
        runtime=RUNTIMES[common.target.python],
        architecture=MACHINES[common.target.machine],
        handler=f"functions.handlers.{deployed.handler}.handler",
        code=lambda_.Code.from_asset(str(deployed.code)),
        layers=list(deployed.layers),
        environment=dict(deployed.environment),
        environment_encryption=key,
        memory_size=deployed.memory,
        timeout=cdk.Duration.seconds(deployed.timeout),
        reserved_concurrent_executions=deployed.reserved_concurrency,
        snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS if deployed.snap_start else None,
        role=role(scope, f"{name}Role", "lambda.amazonaws.com", *statements, *writes),
        log_group=log,
        logging_format=lambda_.LoggingFormat.JSON,
        system_log_level_v2=lambda_.SystemLogLevel.WARN,
        application_log_level_v2=lambda_.ApplicationLogLevel.INFO,
        current_version_options=lambda_.VersionOptions(removal_policy=cdk.RemovalPolicy.RETAIN),
    )


def layer(scope: Construct, name: str, path: Path, description: str) -> lambda_.LayerVersion:
    """A layer version, kept when a newer one comes: older function versions are made of it."""
    return lambda_.LayerVersion(
        scope,
        name,
        layer_version_name=f"{cdk.Stack.of(scope).stack_name}-{name}",
        code=lambda_.Code.from_asset(str(path)),
        description=description,
        removal_policy=cdk.RemovalPolicy.RETAIN,
    )


def acknowledge(construct: Construct, reasons: Mapping[str, str]) -> None:
    """Say why findings of cdk-nag on a construct are as intended, by finding."""
    for finding, reason in reasons.items():
        cdk.Validations.of(construct).acknowledge(
            cdk.Acknowledgment(id=f"AwsSolutions::AwsSolutions-{finding}", reason=reason)
        )
