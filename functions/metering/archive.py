"""The archive: every state a usage row ever had, as gzipped JSON Lines in S3, by UTC day of the call.

    usage/day=2026-11-23/<first>-<last>-<hash>.jsonl.gz

`first` and `last` are the sequence numbers of the stream records in the object, `hash` is of its bytes. A
batch that comes again makes the same object, one that is split or joined differently makes another with
the same rows. Both change nothing: of a call's copies the one with the highest revision counts. Objects
are never replaced or deleted by us; Athena, Spark and DuckDB read them as they are.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import NamedTuple

from functions.aws.s3 import Bucket
from functions.metering.event import LIVE, VOID, UsageEvent
from functions.metering.usage import day_of
from models.store import AlreadyStored

USAGE = "usage/"
_encode = json.JSONEncoder(separators=(",", ":")).encode


class ArchiveDamaged(Exception):
    """An object is not what we wrote; the message names it. Nothing is counted from it."""


class Recorded(NamedTuple):
    """A row as one stream record had it; sequence numbers grow with time and hold digits only."""

    sequence: str
    row: UsageEvent


class Archive:
    """Writes and reads the day objects of one bucket."""

    def __init__(self, bucket: Bucket) -> None:
        """`bucket` is the archive bucket, without a prefix."""
        self.bucket = bucket

    def write(self, records: Iterable[Recorded]) -> None:
        """Keep records, an object a day; what was kept before is kept once."""
        days: dict[str, list[Recorded]] = {}
        for record in records:
            days.setdefault(day_of(record.row.started_at), []).append(record)
        for day, of_day in days.items():
            lines = "".join(_encode(record.row._asdict()) + "\n" for record in of_day)
            data = gzip.compress(lines.encode(), mtime=0)
            span = f"{of_day[0].sequence}-{of_day[-1].sequence}"
            with suppress(AlreadyStored):  # the same bytes, as the hash in the name says
                self.bucket.put(f"{USAGE}day={day}/{span}-{sha256(data).hexdigest()[:16]}.jsonl.gz", data)

    def days(self) -> Sequence[str]:
        """The days that have objects, oldest first."""
        return [folder.removeprefix("day=") for folder in self.bucket.folders(USAGE)]

    def objects(self, day: str) -> list[str]:
        """Names of a day's objects."""
        return self.bucket.list(f"{USAGE}day={day}/")

    def calls(self, day: str) -> Iterator[UsageEvent]:
        """The calls of a day. With `days` it implements DayCalls."""
        return self.merged(self.objects(day))

    def merged(self, names: Sequence[str], customer: str | None = None) -> Iterator[UsageEvent]:
        """The calls in objects, each once in its last state, void ones too, by (started_at, call_id)."""
        last: dict[str, UsageEvent] = {}
        for name, data in zip(names, self.bucket.get_each(names), strict=True):
            for row in read_rows(name, data):
                if customer in (None, row.customer):
                    held = last.get(row.call_id)
                    if held is None or held.revision < row.revision:
                        last[row.call_id] = row
        return iter(sorted(last.values(), key=lambda row: (row.started_at, row.call_id)))


def read_rows(name: str, data: bytes) -> Iterator[UsageEvent]:
    """Rows of one object; ArchiveDamaged."""
    try:
        for line in gzip.decompress(data).splitlines():
            yield row_from(json.loads(line))
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise ArchiveDamaged(f"{name} can't be read ({error}): restore its first version") from error


def row_from(document: dict[str, object]) -> UsageEvent:
    """A row from its JSON object; KeyError, TypeError or ValueError where it is none."""
    document = {"nonce": "", **document}  # rows from before there were receipts have none
    values = {name: document[name] for name in UsageEvent._fields}
    row = UsageEvent(**{**values, "attempts": tuple(values["attempts"])})  # type: ignore[arg-type]
    for value, kind in zip(row, _TYPES, strict=True):
        if type(value) is not kind:
            raise TypeError(f"{value!r} is not of the type {kind.__name__}")
    if row.state not in (LIVE, VOID):
        raise ValueError(f"the state {row.state!r} is unknown")
    return row


_TYPES = (str, tuple, str, str, str, str, str, str, int, int, int, str, str, int, str)
