"""The gateway's access log as Firehose leaves it in the archive bucket, read as records of ours.

    access-log/2026/11/26/01/...    by the UTC hour in which Firehose began the object, lines of JSON

Firehose delivers within minutes, in no strict order, and tries for a day where S3 takes nothing; so lines
of an instant are looked for in the objects of the day after it as well. The gateway names keys by ids of
its own, gives the path with its stage in front, and writes "-" where it has nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from functions.aws.s3 import Bucket
from functions.metering.accesslog import DAY_MS, AccessRecord, Torn, record_from
from functions.metering.event import UsageEvent
from infra.cloud.result_lines import ResultLines

PREFIX = "access-log/"
MODEL_ROUTE = re.compile(r"/v[12]/models/([^/{}]+)")
SLACK_MS = 15 * 60 * 1000
"""A line that is this much older than the newest one has come, or comes no more."""


class StageLog:
    """Implements AccessLogReader. Unavailable and Rejected come from S3 as they are."""

    def __init__(self, bucket: Bucket, key_ids: Mapping[str, str], functions: ResultLines) -> None:
        """`key_ids` has our id of each key by the gateway's."""
        self._bucket, self._key_ids, self._functions = bucket, key_ids, functions

    def results(self, rows: Iterable[UsageEvent]) -> Iterable[AccessRecord]:
        """What the functions' own lines say of these calls."""
        return self._functions.of(rows)

    def read(self, start: int, end: int) -> Iterator[AccessRecord | Torn]:
        """Records of [start, end) in milliseconds, object by object."""
        names = [
            name
            for day in range(start // DAY_MS, end // DAY_MS + 2)
            for name in self._bucket.list(f"{PREFIX}{_folder(day * DAY_MS, '%Y/%m/%d')}/")
        ]
        for record in self._records(names):
            if isinstance(record, Torn) or start <= record.time < end:
                yield record

    def watermark(self) -> int:
        """The newest line's instant, less what may still be under way."""
        folder = PREFIX
        for _ in ("year", "month", "day", "hour"):
            numbers = [name for name in self._bucket.folders(folder) if name.isdecimal()]
            if not numbers:
                return 0
            folder += f"{numbers[-1]}/"
        records = self._records(self._bucket.list(folder))
        times = [record.time for record in records if isinstance(record, AccessRecord)]
        return max(times) - SLACK_MS if times else 0

    def _records(self, names: list[str]) -> Iterator[AccessRecord | Torn]:
        for name, data in zip(names, self._bucket.get_each(names), strict=True):
            for number, line in enumerate(data.splitlines(), 1):
                try:
                    yield self._record(json.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                    yield Torn(name, number)

    def _record(self, line: Mapping[str, object]) -> AccessRecord:
        found = {name: "" if value == "-" else value for name, value in line.items()}
        route, path = str(found["resource"]), str(found["path"])
        start = path.find(route.partition("{")[0])
        model = MODEL_ROUTE.match(route)
        found["model"] = model[1] if model else ""
        found["path"] = path[max(start, 0) :]
        found["key_id"] = self._key_ids.get(str(found["key_id"]), "")
        return record_from(found)


def _folder(time_ms: int, form: str) -> str:
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime(form)
