"""Rebuilding the archive from the ledger itself: for rows that the stream never brought.

DynamoDB exports a table to S3 without touching its capacity; the export is read into the archive. Rows
that the archive has already change nothing; rows of a sealed day are kept, but its seal stays as it is.
An export costs 0.10 US dollars a GB of table (us-east-1, November 2026) and takes some minutes.
"""

from __future__ import annotations

import gzip
import json
import time
from typing import Any, NamedTuple

from functions.metering.archive import Archive, ArchiveDamaged, Recorded
from functions.metering.dynamodb import row_of

EXPORTS = "exports"
ROWS_AT_ONCE = 10_000
PAUSE_SECONDS = 2.0


class ExportFailed(Exception):
    """DynamoDB could not export the table; the message has its reason."""


class Rebuilt(NamedTuple):
    """How many rows the export had, and where in it there is something else, as "file:line"."""

    rows: int
    refused: tuple[str, ...]


def export(dynamodb: Any, table: str, bucket: str) -> str:
    """Export the ledger as it is now into the archive bucket; gives the folder. ExportFailed.

    `dynamodb` is a boto3 client; it takes point-in-time recovery, which every table of ours has on.
    """
    arn = dynamodb.describe_table(TableName=table)["Table"]["TableArn"]
    asked = dynamodb.export_table_to_point_in_time(
        TableArn=arn, S3Bucket=bucket, S3Prefix=EXPORTS, ExportFormat="DYNAMODB_JSON"
    )
    found = asked["ExportDescription"]
    while found["ExportStatus"] == "IN_PROGRESS":
        time.sleep(PAUSE_SECONDS)
        found = dynamodb.describe_export(ExportArn=found["ExportArn"])["ExportDescription"]
    if found["ExportStatus"] != "COMPLETED":
        raise ExportFailed(f"the export of {table} failed: {found.get('FailureMessage', 'without a reason')}")
    return str(found["ExportManifest"]).rpartition("/")[0]


def rebuild(archive: Archive, export: str) -> Rebuilt:
    """Archive the rows of an export, whose data files lie below `export`/data/ of the archive's bucket.

    ArchiveDamaged if there is none, or a file can't be read.
    """
    names = [name for name in archive.bucket.list(f"{export.rstrip('/')}/data/") if name.endswith(".gz")]
    if not names:
        raise ArchiveDamaged(f"there is no export below {export}: its folder was expected, that has data/")
    count = 0
    refused: list[str] = []
    for name, data in zip(names, archive.bucket.get_each(names), strict=True):
        records: list[Recorded] = []
        for number, line in enumerate(_lines(name, data), 1):
            try:
                records.append(Recorded(str(number), row_of(json.loads(line)["Item"])))
            except (ValueError, KeyError, TypeError):
                refused.append(f"{name}:{number}")
        for start in range(0, len(records), ROWS_AT_ONCE):
            archive.write(records[start : start + ROWS_AT_ONCE])
        count += len(records)
    return Rebuilt(count, tuple(refused))


def _lines(name: str, data: bytes) -> list[bytes]:
    try:
        return gzip.decompress(data).splitlines()
    except (OSError, EOFError) as error:
        raise ArchiveDamaged(f"{name} is no data file of an export: {error}") from error
