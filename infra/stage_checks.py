"""`payphone doctor --stage`: whether a deployed stage is as it should be, asked of AWS itself.

These are the points that only the real account settles, a local AWS being a copy: what CloudFormation
made of the templates, what the gateway answers by itself, whether log, stream and archive flow. Nothing
is changed, and no call is billed: what is sent has no key, or one that nobody has.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from typing import NamedTuple

from functions.calls.problems import CONTENT_TYPE, TYPE_PREFIX
from functions.metering.sealing import due
from infra import rollout
from infra.cdk import stack
from infra.cloud.stage import Stage
from infra.findings import Finding
from infra.service import Settings

PARTS = ("-storage", "", "-models", "-billing")
GOOD = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
TABLES = ("LedgerTable", "AccountsTable", "WebhooksTable", "AccessTable", "CustomersTable")
BUCKETS = ("ArchiveBucket", "ModelsBucket")
SET_ASIDE = "aws/lambda/"
SECONDS = 30
NIGHT_MS = 24 * 3600 * 1000


class Answer(NamedTuple):
    """What the stage answered; status 0 if it did not."""

    status: int
    headers: Message
    body: bytes


def examine_stage(stage: Stage, settings: Settings) -> Iterator[Finding]:
    """Run all checks of a stage, one finding or more each."""
    yield from _stacks(stage)
    yield from _gateway(stage, settings.models.serve[0])
    yield from _models(stage, settings)
    yield from _plans(stage, settings)
    yield from _data(stage)
    yield from _records(stage)
    yield _sealed(stage)
    yield _alarms(stage)


def _stacks(stage: Stage) -> Iterator[Finding]:
    client = stage.target.client("cloudformation")
    for part in PARTS:
        name = f"{stage.target.stack}{part}"
        status = (stack(client, name) or {}).get("StackStatus", "not there")
        yield Finding(
            f"stack {name}", status, "" if status in GOOD else "payphone deploy, and read what it says"
        )


def _gateway(stage: Stage, model: str) -> Iterator[Finding]:
    """What needs no key is open, and what needs one is refused by a problem document under its own id."""
    for path in ("/v2/health/live", "/docs"):
        answer = _ask(f"{stage.url}{path}")
        remedy = "" if answer.status == 200 else "read the log of the control plane's function"
        yield Finding(f"GET {path}", f"status {answer.status}", remedy)
    answer = _ask(f"{stage.url}/v1/models/{model}/predict", b"{}")
    try:
        document = json.loads(answer.body)
        named = document["instance"].rpartition(":")[2]
        problems = [
            what
            for what, right in (
                ("its status is not 401", answer.status == 401),
                ("it is of another kind", document["type"] == f"{TYPE_PREFIX}unauthenticated"),
                (f"it is no {CONTENT_TYPE}", answer.headers["content-type"] == CONTENT_TYPE),
                ("it is not named by x-request-id", named == answer.headers["x-request-id"]),
                ("x-request-id is not the gateway's own id", named == answer.headers["x-amz-apigw-id"]),
            )
            if not right
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        problems = [f"it is no problem document (status {answer.status})"]
    remedy = "the gateway renders its own answers otherwise than expected: please report it"
    yield Finding(
        "a call without a key",
        "; ".join(problems) or "is refused by a problem document",
        remedy if problems else "",
    )


def _models(stage: Stage, settings: Settings) -> Iterator[Finding]:
    registry = stage.registry()
    for name in settings.models.serve:
        check, found = f"model {name}", rollout.live(stage.target, name)
        if found is None:
            yield Finding(check, "is served by service.toml and not deployed", "payphone deploy")
            continue
        shown = registry.live(name)
        if shown != found.model_version:
            wrong = f"version {found.model_version} answers calls, and {shown} is shown"
            command = f"payphone model promote {name} {found.model_version} --stage {stage.target.stage}"
            yield Finding(check, wrong, command)
        else:
            trial = f", {len(found.trial)} on trial" if found.trial else ""
            yield Finding(check, f"version {shown} is live{trial}")
        yield _starts(stage, name)


def _starts(stage: Stage, model: str) -> Finding:
    """The function loads its library and its model there, and refuses a key that it does not know."""
    context = {"extendedRequestId": "doctor", "requestTimeEpoch": 0, "identity": {"apiKeyId": "doctor"}}
    event = {"httpMethod": "GET", "path": f"/v2/models/{model}/ready", "requestContext": context}
    answer = stage.target.client("lambda").invoke(
        FunctionName=stage.target.function(model), Qualifier=rollout.ALIAS, Payload=json.dumps(event).encode()
    )
    said = json.loads(answer["Payload"].read())
    check, started = f"function of {model}", said.get("statusCode") == 401
    if started:
        return Finding(check, "starts, and refuses a key that it does not know")
    wrong = said.get("errorMessage") or f"answers {said.get('statusCode')} to a key that nobody has"
    remedy = (
        "read the function's log: its first lines say what it could not load. If they name /var/task/start "
        f'or there are none, set runtime_client = "aws" under [aws.models.{model}] and deploy'
    )
    return Finding(check, wrong, remedy)


def _plans(stage: Stage, settings: Settings) -> Iterator[Finding]:
    """Every plan is in force as service.toml has it, and its usage plan leads to this API."""
    gateway, ids = stage.target.client("apigateway"), json.loads(stage.outputs["PlanIds"])
    in_force = {plan.name: plan.version for plan in stage.keys().plans()}
    for name, plan in settings.plans.items():
        check = f"plan {name}"
        if in_force.get(name) != plan.version or name not in ids:
            yield Finding(check, f"in force is {in_force.get(name, 'none')}", "payphone deploy")
            continue
        leads_to = gateway.get_usage_plan(usagePlanId=ids[name]).get("apiStages", ())
        right = any(one["apiId"] == stage.outputs["ApiId"] for one in leads_to)
        remedy = (
            "" if right else "its usage plan was taken off the API by hand: add the API stage to it again"
        )
        yield Finding(check, f"{plan.version} is in force", remedy)


def _data(stage: Stage) -> Iterator[Finding]:
    dynamodb, s3 = stage.target.client("dynamodb"), stage.target.client("s3")
    for name in TABLES:
        answer = dynamodb.describe_continuous_backups(TableName=stage.outputs[name])
        description = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
        status = description.get("PointInTimeRecoveryStatus", "DISABLED")
        remedy = "" if status == "ENABLED" else "turn point-in-time recovery on again"
        yield Finding(f"recovery of {name}", status.lower(), remedy)
    for name in BUCKETS:
        status = s3.get_bucket_versioning(Bucket=stage.outputs[name]).get("Status", "Disabled")
        remedy = "" if status == "Enabled" else "turn versioning on again"
        yield Finding(f"versions of {name}", status.lower(), remedy)


def _records(stage: Stage) -> Iterator[Finding]:
    """The access log comes in, the stream is read, and nothing was set aside."""
    s3, bucket = stage.target.client("s3"), stage.outputs["ArchiveBucket"]

    def some(prefix: str) -> int:
        return int(s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1000).get("KeyCount", 0))

    lines = some("access-log/")
    yield Finding(
        "access log",
        "arrives" if lines else "is empty",
        "" if lines else "it comes up to two minutes late: look again, then at the Firehose stream's errors",
    )
    mappings = stage.target.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    table = f"table/{stage.outputs['LedgerTable']}/stream/"
    states = [one["State"] for one in mappings if table in one.get("EventSourceArn", "")]
    yield Finding(
        "ledger's stream",
        ", ".join(states) or "nobody reads it",
        "" if states == ["Enabled"] else "payphone deploy: rows that are not read within 24 hours are lost",
    )
    aside = some(SET_ASIDE)
    yield Finding(
        "records set aside",
        str(aside or "none"),
        f"see s3://{bucket}/{SET_ASIDE}: each holds stream records that are no usage rows" if aside else "",
    )


def _sealed(stage: Stage) -> Finding:
    """No day waits for its seal for longer than until the next night."""
    late = due(stage.seals(), stage.archive(), time.time_ns() // 1_000_000 - NIGHT_MS)
    if not late:
        return Finding("seals", "no day waits for its seal")
    return Finding("seals", f"{len(late)} days wait, {late[0]} is the first", "read the log of the seal")


def _alarms(stage: Stage) -> Finding:
    client = stage.target.client("cloudwatch")
    prefix = f"{stage.target.stack}-billing-"
    ringing = client.describe_alarms(AlarmNamePrefix=prefix, StateValue="ALARM")["MetricAlarms"]
    found = ", ".join(alarm.get("AlarmDescription") or alarm["AlarmName"] for alarm in ringing)
    return Finding("alarms", found or "none rings", "look into the log of the function" if ringing else "")


def _ask(url: str, body: bytes | None = None) -> Answer:
    request = urllib.request.Request(url, data=body, headers={"content-type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:  # noqa: S310
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())
    except OSError:
        return Answer(0, Message(), b"")
