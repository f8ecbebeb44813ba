"""API Gateway's access log: one line a request, to CloudWatch Logs or through Firehose to S3.

It is the second, independent record of what was answered, so it is written for every request that
reached a stage, refused ones included. A Firehose stream has to be named `amazon-apigateway-…`, as
API Gateway demands; each line then ends with a newline.
"""

from __future__ import annotations

import base64
import logging
import re
import time
from typing import Any

from gateway import CONTEXT
from ministack.services import apigateway_v1 as v1
from ministack.services import cloudwatch_logs, firehose

VARIABLE = re.compile(r"\$context\.([A-Za-z0-9_.]*[A-Za-z0-9_])")
logger = logging.getLogger("access_log")


def line(template: str, context: dict[str, Any]) -> str:
    """Fill in the $context variables of a format; one without a value is a dash."""

    def value(match: re.Match[str]) -> str:
        found: Any = context
        for part in match[1].split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return "-" if found in (None, "") else str(found)

    return VARIABLE.sub(value, template)


def write(destination: str, text: str) -> None:
    """Append one line to a log group or a Firehose stream, given by its ARN."""
    if ":firehose:" in destination:
        record = {"Data": base64.b64encode(f"{text}\n".encode()).decode()}
        status, _, answer = firehose._put_record(
            {"DeliveryStreamName": destination.rsplit("/", 1)[-1], "Record": record}
        )
        if status >= 400:
            logger.error("%s refused an access log line: %s", destination, answer)
        return
    group = cloudwatch_logs._log_groups.get(
        destination.rsplit("log-group:", maxsplit=1)[-1].removesuffix(":*")
    )
    if group is None:
        logger.error("access log group %s does not exist", destination)
        return
    now = int(time.time() * 1000)
    stream = {"events": [], "uploadSequenceToken": "1", "creationTime": now}
    stream |= dict.fromkeys(("firstEventTimestamp", "lastEventTimestamp", "lastIngestionTime"))
    stream = group["streams"].setdefault("access", stream)
    event = {"timestamp": now, "message": text, "ingestionTime": now}
    cloudwatch_logs._append_log_events(stream, [event])


def check_destination(destination: str) -> None:
    """Refuse a Firehose stream that API Gateway would refuse (ValueError)."""
    name = destination.rsplit("/", 1)[-1]
    if ":firehose:" in destination and not name.startswith("amazon-apigateway-"):
        raise ValueError(
            f"access log stream {name!r}: API Gateway wants a name that starts amazon-apigateway-"
        )


def install() -> None:
    """Log every request that gateway.execute answers."""
    execute = v1._handle_execute_in_scope

    async def logged(api: str, stage: str, *arguments: Any) -> tuple[int, dict, bytes]:
        response = await execute(api, stage, *arguments)
        settings = (v1._stages_v1.get(api, {}).get(stage) or {}).get("accessLogSettings") or {}
        if settings.get("destinationArn"):
            write(settings["destinationArn"], line(settings["format"], CONTEXT.get()))
        return response

    v1._handle_execute_in_scope = logged
