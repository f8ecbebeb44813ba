"""Rebuilding the archive from the ledger itself: for rows that the stream never brought.

DynamoDB exports a table to S3 without touching its capacity (`aws dynamodb export-table-to-point-in-time
--export-format DYNAMODB_JSON`, into the archive bucket). What is read here are its data files. Rows that
the archive has already change nothing; rows of a sealed day are kept, but that day's seal stays as it is.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

from functions.metering.archive import Archive, ArchiveDamaged, Recorded
from functions.metering.dynamodb import row_of

ROWS_AT_ONCE = 10_000


def rebuild(archive: Archive, export: str) -> int:
    """Archive the rows of an export, whose data files lie below `export`/data/; gives how many there were.

    ArchiveDamaged if a line is no usage row: nothing of its file is archived.
    """
    names = [name for name in archive.bucket.list(f"{export.rstrip('/')}/data/") if name.endswith(".gz")]
    count = 0
    for name, data in zip(names, archive.bucket.get_each(names), strict=True):
        records = list(_records(name, data))
        for start in range(0, len(records), ROWS_AT_ONCE):
            archive.write(records[start : start + ROWS_AT_ONCE])
        count += len(records)
    return count


def _records(name: str, data: bytes) -> Iterator[Recorded]:
    """The rows of a file, numbered by their place in it."""
    try:
        for number, line in enumerate(gzip.decompress(data).splitlines()):
            yield Recorded(str(number), row_of(json.loads(line)["Item"]))
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise ArchiveDamaged(f"{name} is no export of the ledger: {error}") from error
