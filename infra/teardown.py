"""`payphone destroy`: takes a stage down, and its data only if that was asked for.

What CloudFormation retains on purpose is removed here by hand: the usage plans with their keys, layer
versions, and, with the data, tables and buckets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from infra.cdk import outputs, stack
from infra.target import Target

TABLES = ("LedgerTable", "AccountsTable", "WebhooksTable", "AccessTable", "CustomersTable")
BUCKETS = ("ArchiveBucket", "ModelsBucket")
WAIT = {"Delay": 2, "MaxAttempts": 600}


class NotThere(Exception):
    """There is no such stage."""


def destroy(target: Target, *, with_data: bool, on_step: Callable[[str], None]) -> list[str]:
    """Remove a stage's service; gives the names of the tables and buckets that are left.

    The next deploy serves from those again, at another address and with new keys. NotThere if there
    is nothing of this stage. With the data go the stage's keys in KMS, 30 days later.
    """
    formation = target.client("cloudformation")
    storage, main = f"{target.stack}-storage", target.stack
    if not any(stack(formation, name) for name in (storage, main)):
        raise NotThere(f"there is no stage {target.stage} in {target.region}")
    data, keys = outputs(formation, storage), _keys(formation, storage)
    on_step("Closing the gateway's plans and keys")
    _close_plans(target, outputs(formation, main).get("ApiId"))
    for name in (f"{main}-billing", f"{main}-models", main):
        if stack(formation, name):
            on_step(f"Deleting the stack {name}")
            _delete(formation, name)
    _delete_layers(target)
    if not with_data:
        return [data[name] for name in (*TABLES, *BUCKETS) if name in data]
    on_step(f"Deleting the stack {storage}, its tables and its buckets")
    _delete(formation, storage)
    for name in TABLES:
        _drop_table(target.client("dynamodb"), data[name])
    for key in keys:  # KMS waits, so that a mistake can be undone
        target.client("kms").schedule_key_deletion(KeyId=key, PendingWindowInDays=30)
    for name in BUCKETS:
        _drop_bucket(target.client("s3"), data[name])
    drop_secrets(target)
    return []


def _delete(formation: Any, name: str) -> None:
    formation.delete_stack(StackName=name)
    # Both the emulator and AWS know a deleted stack by its name for a while, and then no more.
    formation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig=WAIT)


def _keys(formation: Any, storage: str) -> list[str]:
    """The stage's keys in KMS: the one that signs seals and, where it has one, the one that encrypts."""
    if not stack(formation, storage):
        return []
    pages = formation.get_paginator("list_stack_resources").paginate(StackName=storage)
    resources = (one for page in pages for one in page["StackResourceSummaries"])
    return [one["PhysicalResourceId"] for one in resources if one["ResourceType"] == "AWS::KMS::Key"]


def _close_plans(target: Target, api: str | None) -> None:
    """Delete every usage plan of this API, also those of plans renamed since, with the keys on it."""
    gateway = target.client("apigateway")
    pages = gateway.get_paginator("get_usage_plans").paginate()
    ours = [
        (plan["id"], stage)
        for page in pages
        for plan in page["items"]
        for stage in plan.get("apiStages", ())
        if api and stage["apiId"] == api
    ]
    for plan, stage in ours:
        for page in gateway.get_paginator("get_usage_plan_keys").paginate(usagePlanId=plan):
            for key in page["items"]:
                gateway.delete_api_key(apiKey=key["id"])
        place = f"{stage['apiId']}:{stage['stage']}"
        gateway.update_usage_plan(
            usagePlanId=plan, patchOperations=[{"op": "remove", "path": "/apiStages", "value": place}]
        )
        gateway.delete_usage_plan(usagePlanId=plan)


def _delete_layers(target: Target) -> None:
    client = target.client("lambda")
    for page in client.get_paginator("list_layers").paginate():
        for layer in page["Layers"]:
            if layer["LayerName"].startswith(f"{target.stack}-"):
                _delete_versions(client, layer["LayerName"])


def _delete_versions(client: Any, layer: str) -> None:
    for page in client.get_paginator("list_layer_versions").paginate(LayerName=layer):
        for version in page["LayerVersions"]:
            client.delete_layer_version(LayerName=layer, VersionNumber=version["Version"])


def drop_secrets(target: Target) -> None:
    """Delete the parameters that hold webhooks' secrets; CloudFormation knows nothing of them."""
    client = target.client("ssm")
    pages = client.get_paginator("get_parameters_by_path").paginate(
        Path=f"/{target.stack}/webhooks", Recursive=True
    )
    for name in [parameter["Name"] for page in pages for parameter in page["Parameters"]]:
        client.delete_parameter(Name=name)


def _drop_table(client: Any, name: str) -> None:
    client.update_table(TableName=name, DeletionProtectionEnabled=False)
    client.get_waiter("table_exists").wait(TableName=name)
    client.delete_table(TableName=name)


def _drop_bucket(client: Any, name: str) -> None:
    for page in client.get_paginator("list_object_versions").paginate(Bucket=name):
        objects = [
            {"Key": entry["Key"], "VersionId": entry["VersionId"]}
            for kind in ("Versions", "DeleteMarkers")
            for entry in page.get(kind, ())
        ]
        if objects:
            client.delete_objects(Bucket=name, Delete={"Objects": objects, "Quiet": True})
    client.delete_bucket(Bucket=name)
