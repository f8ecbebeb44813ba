"""The functions that the emulator is tried on: they show what they see and misbehave on request."""

import base64
import itertools
import json
import os
import sys
import time

import boto3
import greeting

CALLS = itertools.count(1)


def echo(event, context):
    """Answer with what the gateway handed over, or do what the body asks for."""
    calls = next(CALLS)
    if event["isBase64Encoded"]:
        turned = base64.b64encode(base64.b64decode(event["body"])[::-1]).decode()
        headers = {"Content-Type": "application/octet-stream"}
        return {"statusCode": 200, "headers": headers, "body": turned, "isBase64Encoded": True}
    asked = json.loads(event["body"] or "{}")
    if "raise" in asked:
        raise ValueError(asked["raise"])
    if "sleep" in asked:
        time.sleep(asked["sleep"])
    if "allocate" in asked:
        block = b"x" * (asked["allocate"] * 1024 * 1024)
        time.sleep(5)
        return len(block)
    if "put" in asked:
        boto3.resource("dynamodb").Table(asked["put"]).put_item(Item={"pk": "put"})
    if "answer" in asked:
        return asked["answer"]
    if "size" in asked:
        return {"statusCode": 200, "body": "x" * asked["size"]}
    seen = {
        "calls": calls,
        "context": event["requestContext"],
        "files": [__file__, greeting.__file__],
        "greeting": greeting.TEXT,
        "python": sys.version_info[:2],
        "remaining": context.get_remaining_time_in_millis(),
        "root": os.environ["LAMBDA_TASK_ROOT"],
    }
    return {"statusCode": 200, "body": json.dumps(seen)}


def consume(event, context):
    """Copy stream records to a table; a record that says "poison" fails as its function is told to."""
    table = boto3.resource("dynamodb").Table(os.environ["SEEN"])
    failed = []
    for record in event["Records"]:
        name = record["dynamodb"]["Keys"]["pk"]["S"]
        if "poison" in name and os.environ["ON_POISON"] == "raise":
            raise ValueError("poisoned")
        if "poison" in name:
            failed.append({"itemIdentifier": record["dynamodb"]["SequenceNumber"]})
        else:
            table.update_item(
                Key={"pk": f"{os.environ['ON_POISON']}:{name}"},
                UpdateExpression="ADD times :one",
                ExpressionAttributeValues={":one": 1},
            )
    return {"batchItemFailures": failed}
