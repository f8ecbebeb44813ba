"""The Lambda that seals, every night: days that have settled, months that are whole, rows that may go.

Whatever it has not got done in its time it takes up the next night; done twice, nothing changes. A
month whose rows in the ledger and in the seals are not as many is not sealed, and nothing of it expires.
"""

from __future__ import annotations

import time
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import settings
from functions.aws.s3 import Bucket
from functions.metering.archive import Archive
from functions.metering.expiry import LedgerRows
from functions.metering.kms import KmsSigner, service
from functions.metering.sealing import Sealer
from functions.metering.seals import Seals, settled
from functions.metering.usage import month_span

KEPT_SECONDS = 30 * 24 * 3600  # how long a sealed month's rows stay in the ledger
EXPIRING = "seals/expiring/"  # a marker for each day that is done
RESERVE_MS = 60_000  # no day is begun with less time than this left

_set = settings.read("region", "stage", "archive_bucket", "ledger_table", "sealing_key")
_archive = Archive(Bucket(_set.archive_bucket, _set.region))
_seals = Seals(_archive.bucket)
_sealer = Sealer(_seals, _archive, KmsSigner(_set.sealing_key, service(_set.region)))
_ledger = LedgerRows(_set.ledger_table, _set.region)
_logger = Logger(service="payphone-seal")
_metrics = Metrics(namespace="Payphone", service="seal")
_metrics.set_default_dimensions(stage=_set.stage)


@_logger.inject_lambda_context
@_metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Seal what is due; Lambda's entry point. Gives the days and months sealed, and what does not agree."""
    now = time.time_ns() // 1_000_000
    days: list[str] = []
    months: list[str] = []
    wrong: dict[str, int] = {}
    moved = 0
    for day in _sealer.due(now):
        if not _has_time(context):
            break
        _sealer.seal(day)
        days.append(day)
    for month in _whole_months(now):
        if _seals.month(month) is None:
            surplus = _seals.seal_month(month, _ledger.count(*month_span(month)), now // 1000 + KEPT_SECONDS)
            wrong |= surplus
            months += [] if surplus else [month]
        moved += _expire(month, context)
    if wrong:
        _logger.error("ledger and seals have not as many rows", extra={"ledger_has_more": wrong})
    if moved:
        _logger.error("sealed rows have changed since, they stay in the ledger", extra={"rows": moved})
    _metrics.add_metric("days_sealed", MetricUnit.Count, len(days))
    _metrics.add_metric("disagreements", MetricUnit.Count, len(wrong) + moved)
    return {"days": days, "months": months, "ledger_has_more": wrong, "moved": moved}


def _whole_months(now: int) -> list[str]:
    """Months that are over, whose days have settled and are sealed, all that have rows."""
    sealed = {*_seals.names("")}
    waiting = {day[:7] for day in _archive.days() if day not in sealed}
    months = {day[:7] for day in sealed} - waiting
    return sorted(month for month in months if settled(_last_day(month), now))


def _last_day(month: str) -> str:
    end = month_span(month)[1]
    return time.strftime("%Y-%m-%d", time.gmtime(end // 1000 - 1))


def _expire(month: str, context: LambdaContext) -> int:
    """Mark the rows of a sealed month, a day at a time; a marker says which days are done."""
    sealed = _seals.month(month)
    if sealed is None:
        return 0
    done = {name.rpartition("/")[2] for name in _archive.bucket.list(f"{EXPIRING}{month}/")}
    moved = 0
    for day in sorted(sealed["days"].keys() - done):
        if not _has_time(context):
            break
        whole = [_seals.day(day)] if day in _seals.days(month) else []  # else rows were sealed in parts
        as_sealed = {row.call_id: row for row in _seals.rows(whole)}
        rows = _archive.calls(day)  # void ones too, which no seal holds
        moved += _ledger.expire((as_sealed.get(r.call_id, r) for r in rows), sealed["expires_at"])
        _archive.bucket.put(f"{EXPIRING}{month}/{day}", b"")
    return moved


def _has_time(context: LambdaContext) -> bool:
    return context.get_remaining_time_in_millis() > RESERVE_MS
