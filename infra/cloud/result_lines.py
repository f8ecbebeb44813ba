"""What functions have said of single calls, in their own log: the evidence where the access log has a gap.

API Gateway gives no guarantee that a line of its access log arrives. The line of the function that answered
(functions/calls/telemetry.py) has the same attempt and its status, so it can stand in for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from functions.metering.accesslog import AccessRecord, record_from
from functions.metering.event import UsageEvent
from functions.metering.ledger import REPLAY_WINDOW_MS

AROUND_MS = 5 * 60 * 1000
"""A function's line is written within its own time-out of the request; clocks may differ."""


class ResultLines:
    """Looks calls up in the logs of a stage's functions, one by one. botocore's errors come as they are."""

    def __init__(self, functions: Any, logs: Any, name_of: Callable[[str], str]) -> None:
        """boto3 clients of Lambda and CloudWatch Logs; `name_of` gives the function that serves a model."""
        self._functions, self._logs, self._name_of = functions, logs, name_of
        self._groups: dict[str, str] = {}

    def of(self, rows: Iterable[UsageEvent]) -> Iterator[AccessRecord]:
        """A record for each attempt of each row that a function has said something of."""
        for row in rows:
            for attempt in row.attempts:
                yield from self._said_of(attempt, row)

    def _said_of(self, attempt: str, row: UsageEvent) -> Iterator[AccessRecord]:
        group = self._group(row.model)
        if not group:
            return
        until = row.started_at + AROUND_MS + (REPLAY_WINDOW_MS if len(row.attempts) > 1 else 0)
        pages = self._logs.get_paginator("filter_log_events").paginate(
            logGroupName=group,
            startTime=row.started_at - AROUND_MS,
            endTime=until,
            filterPattern=f'"{attempt}"',
        )
        for page in pages:
            for event in page["events"]:
                record = _record(event["message"], row)
                if record is not None and record.attempt_id == attempt:
                    yield record

    def _group(self, model: str) -> str:
        """The log group of a model's function, "" where there is no such function any more."""
        if model not in self._groups:
            try:
                found = self._functions.get_function_configuration(FunctionName=self._name_of(model))
                self._groups[model] = found["LoggingConfig"]["LogGroup"]
            except self._functions.exceptions.ResourceNotFoundException:
                self._groups[model] = ""
        return self._groups[model]


def _record(line: str, row: UsageEvent) -> AccessRecord | None:
    """The record that a line amounts to; None where it is no line of ours."""
    try:
        said = json.loads(line)
        return record_from(
            {
                "time": said["_aws"]["Timestamp"],
                "request_id": said["request_id"],
                "attempt_id": said["attempt_id"],
                "key_id": said["key_id"],
                "method": "POST",
                "path": f"/v1/models/{said['model']}/{row.kind}",
                "model": said["model"],
                "status": said["status"],
                "response_bytes": said["bytes_out"],
                "latency_ms": said["total_us"] // 1000,
            }
        )
    except (ValueError, KeyError, TypeError):
        return None
