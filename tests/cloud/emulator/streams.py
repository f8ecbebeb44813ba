"""DynamoDB streams to Lambda with everything a meter hangs on, which ministack leaves out.

Retries up to MaximumRetryAttempts, MaximumRecordAgeInSeconds, BisectBatchOnFunctionError, partial
batches (ReportBatchItemFailures), and an on-failure destination in S3 that gets the records whole;
semantics as in the Lambda Developer Guide, "Using AWS Lambda with Amazon DynamoDB". A failing batch
holds up its own mapping and no other.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import logging
import threading
import time
from typing import NamedTuple
from uuid import uuid4

from ministack.core.arn import ArnParseError, parse_arn
from ministack.core.concurrency import esm_wake
from ministack.core.responses import request_scope
from ministack.services import dynamodb, lambda_svc, s3

logger = logging.getLogger("streams")
SHARD = "shardId-00000000000000000000-00000000"
RETRY_PAUSE = 0.1

Record = dict


class Retry(NamedTuple):
    """Records of one mapping that failed: the next `size` of the stream, after `failures` failed tries."""

    size: int
    failures: int
    not_before: float


_send_elsewhere = lambda_svc._send_ddb_stream_failure_record
_retries: dict[str, Retry] = {}
_invocations: dict[str, int] = {}


def poll() -> bool:
    """One round over all mappings of a DynamoDB stream; says whether any of them moved on."""
    moved = False
    for account, region, mapping in lambda_svc._iter_all_esms():
        with request_scope(account, region):
            table = _table(mapping)
            if table and mapping.get("Enabled", True):
                moved = _advance(mapping, table) or moved
    return moved


def _table(mapping: dict) -> str | None:
    """The name of the table whose live stream this mapping reads."""
    try:
        source = parse_arn(mapping.get("EventSourceArn", ""))
    except ArnParseError:
        return None
    found = lambda_svc._dynamodb_stream_table_from_arn_spec(source) if source.service == "dynamodb" else None
    table = dynamodb._tables.get(found[0]) if found else None
    return found[0] if table and table.get("LatestStreamArn") == mapping["EventSourceArn"] else None


def _advance(mapping: dict, table: str) -> bool:
    """Hand the mapping's next batch to its function and settle what becomes of it."""
    identity = mapping["UUID"]
    function, _ = lambda_svc._get_func_record_for_qualifier(mapping["FunctionName"], mapping.get("Qualifier"))
    retry = _retries.get(identity)
    if function is None or (retry and retry.not_before > time.monotonic()):
        return False
    lambda_svc._init_stream_position(
        identity, mapping["EventSourceArn"], mapping.get("StartingPosition", "LATEST")
    )
    position = max(lambda_svc._dynamodb_stream_positions[identity], dynamodb.stream_start_position(table))
    size = retry.size if retry else int(mapping.get("BatchSize", 100))
    records = dynamodb.stream_records_since(table, position, size)
    if not records:
        return False
    batch = lambda_svc._apply_filter_criteria(records, mapping)
    if not batch:
        return _settle(mapping, position + len(records))
    result = lambda_svc._execute_function(function, {"Records": batch})
    _invocations[identity] = _invocations.get(identity, 0) + 1
    done = _records_done(mapping, batch, result)
    if done == len(batch):
        mapping["LastProcessingResult"] = f"OK - {done} records"
        return _settle(mapping, position + len(records))
    mapping["LastProcessingResult"] = "FAILED"
    # Records the filter dropped go with those before them.
    passed = records.index(batch[done])
    rest = len(records) - passed
    splits = mapping.get("BisectBatchOnFunctionError") and len(batch) > 1
    # A try that split the batch is not counted against the retries.
    failures = (0 if passed or not retry else retry.failures) + (0 if splits else 1)
    condition = _given_up(mapping, batch[done:], failures)
    if condition:
        _discard(mapping, function, batch[done:], result, condition)
        return _settle(mapping, position + len(records))
    lambda_svc._dynamodb_stream_positions[identity] = position + passed
    size = (rest + 1) // 2 if splits and not passed else rest
    _retries[identity] = Retry(size, failures, time.monotonic() + RETRY_PAUSE)
    threading.Timer(RETRY_PAUSE, esm_wake.set).start()
    return True


def _settle(mapping: dict, position: int) -> bool:
    lambda_svc._dynamodb_stream_positions[mapping["UUID"]] = position
    _retries.pop(mapping["UUID"], None)
    _invocations.pop(mapping["UUID"], None)
    return True


def _records_done(mapping: dict, batch: list[Record], result: dict) -> int:
    """How many records, from the first, the function has dealt with.

    With ReportBatchItemFailures that is all before the lowest sequence number it reports; a report
    that names no record of the batch, or isn't one, fails the whole batch.
    """
    if result.get("error") or result.get("throttle"):
        return 0
    answer = result.get("body")
    if "ReportBatchItemFailures" not in mapping.get("FunctionResponseTypes", []) or not answer:
        return len(batch)
    failures = answer.get("batchItemFailures") if isinstance(answer, dict) else None
    if isinstance(answer, dict) and failures in ([], None):
        return len(batch)
    numbers = [record["dynamodb"]["SequenceNumber"] for record in batch]
    try:
        return min(numbers.index(failure["itemIdentifier"]) for failure in failures)
    except (TypeError, KeyError, ValueError):
        return 0


def _given_up(mapping: dict, batch: list[Record], failures: int) -> str | None:
    """Why these records are not tried again, in the words of the invocation record, or None."""
    allowed, age = mapping.get("MaximumRetryAttempts"), mapping.get("MaximumRecordAgeInSeconds")
    oldest = min(float(record["dynamodb"]["ApproximateCreationDateTime"]) for record in batch)
    if age is not None and 0 < int(age) < time.time() - oldest:
        return "MaxRecordAgeExceeded"
    # A first try and then `allowed` retries; -1 and none at all mean "until they expire".
    return "RetryAttemptsExhausted" if allowed is not None and -1 < int(allowed) < failures else None


def _discard(mapping: dict, function: dict, batch: list[Record], result: dict, condition: str) -> None:
    destination = ((mapping.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination", "")
    if destination.startswith("arn:aws:s3:::"):
        record = _invocation_record(mapping, function, batch, result, condition)
        _store(destination.removeprefix("arn:aws:s3:::"), _object_name(mapping), json.dumps(record).encode())
    else:
        _send_elsewhere(mapping, function, batch, mapping["EventSourceArn"], result, condition)
    logger.warning("%s: %d records discarded (%s)", mapping["FunctionName"], len(batch), condition)


def _invocation_record(
    mapping: dict, function: dict, batch: list[Record], result: dict, condition: str
) -> dict:
    """What Lambda writes of discarded records; `payload`, the event as text, goes to S3 only."""
    config, first, last = function["config"], batch[0]["dynamodb"], batch[-1]["dynamodb"]
    return {
        "requestContext": {
            "requestId": str(uuid4()),
            "functionArn": config["FunctionArn"],
            "condition": condition,
            "approximateInvokeCount": _invocations.get(mapping["UUID"], 1),
        },
        "responseContext": {
            "statusCode": 200,
            "executedVersion": config.get("Version", "$LATEST"),
            "functionError": result.get("function_error") or "Unhandled",
        },
        "version": "1.0",
        "timestamp": _iso(time.time()),
        "DDBStreamBatchInfo": {
            "shardId": SHARD,
            "startSequenceNumber": first["SequenceNumber"],
            "endSequenceNumber": last["SequenceNumber"],
            "approximateArrivalOfFirstRecord": _iso(first["ApproximateCreationDateTime"]),
            "approximateArrivalOfLastRecord": _iso(last["ApproximateCreationDateTime"]),
            "batchSize": len(batch),
            "streamArn": mapping["EventSourceArn"],
        },
        "payload": json.dumps({"Records": batch}),
    }


def _object_name(mapping: dict) -> str:
    now = datetime.datetime.now(datetime.UTC)
    return f"aws/lambda/{mapping['UUID']}/{SHARD}/{now:%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{uuid4()}"


def _iso(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(float(seconds), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _store(bucket: str, name: str, body: bytes) -> None:
    headers = {"content-type": "application/json", "content-length": str(len(body)), "host": "s3.localhost"}
    status, _, answer = asyncio.run(
        s3.handle_request("PUT", f"/{bucket}/{name}", headers, body, {}, internal=True)
    )
    if status >= 400:
        logger.error("the on-failure destination %s refused %s: %s %s", bucket, name, status, answer)


def install() -> None:
    """Take over from ministack's poller of DynamoDB streams."""
    lambda_svc._poll_dynamodb_streams = poll
