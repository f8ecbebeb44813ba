"""The access log: the second record of every answer, kept apart from the ledger.

Reconciliation holds the two against each other. Here it is one file of JSON lines per UTC day; in
the cloud the gateway writes the same fields. It holds no payload, no key and no client address.

Lines are appended but not synced one by one: after a power cut the last ones may be missing, and a
missing line is no evidence of anything.
"""

from __future__ import annotations

import json
import logging
import os
from calendar import timegm
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import groupby
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from threading import Lock
from time import gmtime, strftime, strptime
from typing import NamedTuple, Protocol

from functions.metering.event import UsageEvent

DAY_MS = 24 * 3600 * 1000

log = logging.getLogger(__name__)


class AccessRecord(NamedTuple):
    """One answer. `time` is when the request came, in milliseconds since 1970 UTC.

    `attempt_id` is what ledger rows name; `request_id` is what the caller is told, and may be his
    own. `key_id` is "" where no key of ours came, `model` where none was named. `path` is without
    its query.
    """

    time: int
    request_id: str
    attempt_id: str
    key_id: str
    method: str
    path: str
    model: str
    status: int
    response_bytes: int
    latency_ms: int


_TYPES = (int, str, str, str, str, str, str, int, int, int)
_LINE = '{"time":%d,"request_id":%s,"attempt_id":%s,%s,"status":%d,"response_bytes":%d,"latency_ms":%d}'


class Torn(NamedTuple):
    """A line that is no AccessRecord: cut short by a crash or a full disk, or not written by us."""

    file: str
    line: int


class AccessLogReader(Protocol):
    """Reads what was logged, wherever it lies."""

    def read(self, start: int, end: int) -> Iterator[AccessRecord | Torn]:
        """Records of [start, end) in milliseconds, in any order, and what there can't be read."""

    def watermark(self) -> int:
        """Until when the log is complete, in milliseconds since 1970: 0 where there is none."""

    def results(self, rows: Iterable[UsageEvent]) -> Iterable[AccessRecord]:
        """What else is known of how calls were answered that the log has no line of."""


class AccessLog:
    """Appends to `folder`/YYYY-MM-DD.jsonl; any thread may use it. A disk that refuses never fails a call.

    `lost` counts the records that could not be written.
    """

    def __init__(self, folder: Path) -> None:
        """Make the folder; OSError where that is not possible."""
        self.lost = 0
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = Lock()
        self._file = -1
        self._day = -1
        self._torn = False
        self._failing = False

    def write(self, *records: AccessRecord) -> None:
        """Append records, with one system call for those of a day."""
        with self._lock:
            for day, group in groupby(records, key=_day):
                lines = [*map(_line, group)]
                try:
                    self._append(day, lines)
                    self._failing = False
                except OSError as error:
                    self.lost += len(lines)
                    if not self._failing:  # once, not with each call while the disk is full
                        log.error("the access log can't be written, calls go on without: %s", error)
                        self._failing = True

    def close(self) -> None:
        """Make what was written durable and let go of the file."""
        with self._lock:
            self._release()

    def _append(self, day: int, lines: list[str]) -> None:
        if day != self._day:
            self._release()
            path = self._folder / _file_name(day)
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            self._day = day
            size = os.fstat(self._file).st_size
            self._torn = size > 0 and os.pread(self._file, 1, size - 1) != b"\n"
        data = ("\n" * self._torn + "\n".join(lines) + "\n").encode()
        self._torn = True  # unless every byte arrives
        if os.write(self._file, data) < len(data):
            raise OSError("the disk took only a part")
        self._torn = False

    def _release(self) -> None:
        if self._file >= 0:
            try:
                os.fsync(self._file)
            finally:
                os.close(self._file)
                self._file = self._day = -1


def read(folder: Path, start: int, end: int) -> Iterator[AccessRecord | Torn]:
    """Records of [start, end) in milliseconds, file by file as they were written, and every torn line."""
    for day in range(start // DAY_MS, -(-end // DAY_MS)):
        path = folder / _file_name(day)
        if not path.exists():
            continue
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                record = _parse(line)
                if record is None:
                    yield Torn(str(path), number)
                elif start <= record.time < end:
                    yield record


class FolderLog:
    """Reads what AccessLog has written to a folder; complete until its last line."""

    def __init__(self, folder: Path) -> None:
        """The folder need not be there."""
        self._folder = folder

    def read(self, start: int, end: int) -> Iterator[AccessRecord | Torn]:
        """Records of [start, end)."""
        return read(self._folder, start, end)

    def results(self, rows: Iterable[UsageEvent]) -> Iterable[AccessRecord]:
        """Nothing: the server writes its log itself, and the lines it lacks were written nowhere else."""
        return ()

    def watermark(self) -> int:
        """The instant of the last line."""
        for file in sorted(self._folder.glob("*.jsonl"), reverse=True):
            start = timegm(strptime(file.stem, "%Y-%m-%d")) * 1000
            records = self.read(start, start + DAY_MS)
            times = [record.time for record in records if isinstance(record, AccessRecord)]
            if times:
                return max(times)
        return 0


def record_from(found: Mapping[str, object]) -> AccessRecord:
    """A record from its JSON object; KeyError, TypeError or ValueError where it is none."""
    record = AccessRecord(**{name: found[name] for name in AccessRecord._fields})  # type: ignore[arg-type]
    for value, kind in zip(record, _TYPES, strict=True):
        if type(value) is not kind:
            raise TypeError(f"{value!r} is not of the type {kind.__name__}")
    return record


def _parse(line: bytes) -> AccessRecord | None:
    try:
        return record_from(json.loads(line))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _line(record: AccessRecord) -> str:
    time, request_id, attempt_id, key_id, method, path, model, *numbers = record
    attempt = quoted(attempt_id)
    request = attempt if request_id == attempt_id else quoted(request_id)
    return _LINE % (time, request, attempt, _same(key_id, method, path, model), *numbers)


@lru_cache(maxsize=256)
def _same(key_id: str, method: str, path: str, model: str) -> str:
    """The members that are as in a caller's last line."""
    members = {"key_id": key_id, "method": method, "path": path, "model": model}
    return ",".join([f'"{name}":{quoted(value)}' for name, value in members.items()])


def _day(record: AccessRecord) -> int:
    return record.time // DAY_MS


def _file_name(day: int) -> str:
    return strftime("%Y-%m-%d.jsonl", gmtime(day * 86400))
