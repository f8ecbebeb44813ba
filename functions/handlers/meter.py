"""The Lambda that keeps usage: from the ledger's stream to the archive in S3.

It also counts what is used of soft limits, which only alerts are made of: a batch that comes twice is
counted twice, and one that can't be counted is not.

Records come at least once, in order per call. One that is no usage row is reported by itself, so that
Lambda can set it aside whole in the failure bucket; the others are kept all the same. Logs name
records by their sequence number and hold nothing of their content.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import settings
from functions.access.dynamodb import GatewayKeys
from functions.access.keys import LookupUnavailable
from functions.aws.s3 import Bucket
from functions.aws.service import dynamodb_in
from functions.metering.archive import Archive, Recorded
from functions.metering.dynamodb import row_of
from functions.metering.dynamodb_accounts import DynamoDbAccounts
from functions.metering.event import LIVE, UsageEvent
from functions.metering.ledger import LedgerUnavailable
from functions.metering.terms import held

_set = settings.read("region", "stage", "archive_bucket", "access_table", "accounts_table")
_dynamodb = dynamodb_in(_set.region)
_accounts = DynamoDbAccounts(_set.accounts_table, _dynamodb)
_keys = GatewayKeys(_set.access_table, _dynamodb, _set.key_cache_seconds)
_archive = Archive(Bucket(_set.archive_bucket, _set.region))
_logger = Logger(service="payphone-meter")
_metrics = Metrics(namespace="Payphone", service="meter")
_metrics.set_default_dimensions(stage=_set.stage)


@_logger.inject_lambda_context
@_metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    """Keep a batch; Lambda's entry point. If S3 takes nothing, it raises, and the whole batch comes again."""
    records: list[Recorded] = []
    changes: list[tuple[UsageEvent | None, UsageEvent]] = []
    _metrics.add_metric("records", MetricUnit.Count, len(event["Records"]))

    def take(record: dict[str, Any]) -> None:
        try:
            recorded = _recorded(record)
        except (KeyError, TypeError, ValueError):
            sequence = record.get("dynamodb", {}).get("SequenceNumber")
            _logger.error("a stream record is no usage row", extra={"sequence": sequence})
            raise
        if recorded is not None:
            records.append(recorded)
            before = record["dynamodb"].get("OldImage")
            changes.append((row_of(before) if before else None, recorded.row))

    processor = BatchProcessor(EventType.DynamoDBStreams, raise_on_entire_batch_failure=False)
    answer = process_partial_response(event, take, processor, context)
    _archive.write(records)
    _count(changes)
    refused = len(answer["batchItemFailures"])
    _metrics.add_metric("archived", MetricUnit.Count, len(records))
    _metrics.add_metric("refused", MetricUnit.Count, refused)
    return answer


def _recorded(record: dict[str, Any]) -> Recorded | None:
    """The row that a record wrote; None where it wrote none, or changed nothing but its expiry."""
    change = record["dynamodb"]
    if record["eventName"] == "REMOVE":  # expired, long since sealed
        return None
    row = row_of(change["NewImage"])
    before = change.get("OldImage")
    if before and row_of(before) == row:
        return None
    return Recorded(change["SequenceNumber"], row)


def _count(changes: list[tuple[UsageEvent | None, UsageEvent]]) -> None:
    """Count calls that became billed, and those that were taken back, by their plans' soft limits."""
    counted: Counter[str] = Counter()
    try:
        for before, row in changes:
            was, now = before is not None and before.state == LIVE, row.state == LIVE
            if was != now and (terms := _keys.plan(row.plan.partition("@")[0]).counts):
                for hold in held(terms, row):
                    counted[hold.account] += -hold.amount if now else hold.amount
        for account, amount in counted.items():
            if amount:
                _accounts.count(account, amount)
    except (LookupUnavailable, LedgerUnavailable, KeyError) as error:
        _logger.warning("soft limits could not be counted", extra={"error": type(error).__name__})
