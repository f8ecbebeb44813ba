"""The quickstart on AWS: a stage to sell from, and the three places where its calls must be found again."""

from __future__ import annotations

import http.client
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from functions.metering.accesslog import AccessRecord
from functions.metering.event import LIVE
from infra.cloud.stage import Stage
from infra.quickstart import HOUR_MS, Exchange, Unexpected, wait_for

KEY_SECONDS = 120
LOG_SECONDS = 300


def wait_for_key(url: str, key: str) -> None:
    """Wait until the gateway knows a new key, which takes it some seconds; costs nothing. Unexpected."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection

    def known() -> int:
        connection = kind(parts.netloc, timeout=60)
        connection.request("GET", f"{parts.path}/v1/models", headers={"x-api-key": key})
        status = connection.getresponse().status
        connection.close()
        return status == 200

    if not wait_for(known, 1, KEY_SECONDS):
        raise Unexpected(f"the stage does not accept a new key, even after {KEY_SECONDS} s")


def find_again(stage: Stage, exchanges: Sequence[Exchange]) -> dict[str, int]:
    """How many of the answered calls are in ledger, archive and access log.

    The last comes some minutes late on AWS.
    """
    answered = [exchange for exchange in exchanges if exchange.effect == "answered"]
    calls, attempts = {e.call_id for e in answered}, {e.attempt for e in answered}
    table, dynamodb = stage.outputs["LedgerTable"], stage.target.client("dynamodb")

    def in_ledger(call_id: str) -> bool:
        key = {"call_id": {"S": call_id}}
        item = dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
        return item is not None and item["state"]["S"] == LIVE

    def span() -> tuple[int, int]:
        now = time.time_ns() // 1_000_000
        return now - HOUR_MS, now + HOUR_MS

    def archived() -> int:
        return len(calls & {row.call_id for row in stage.usage().rows(*span())})

    def logged() -> int:
        records = (record for record in log.read(*span()) if isinstance(record, AccessRecord))
        return len(attempts & {record.attempt_id for record in records if record.status == 200})

    log = stage.log()
    return {
        "ledger_rows": sum(map(in_ledger, calls)),
        "archive_rows": wait_for(archived, len(calls)),
        "access_log_rows": wait_for(logged, len(attempts), LOG_SECONDS),
    }
