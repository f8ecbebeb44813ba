"""Usage read from the archive: sealed days from their seals, the others from their objects, none twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from hashlib import sha256

from functions.metering.archive import Archive
from functions.metering.event import LIVE, UsageEvent
from functions.metering.seals import Seals
from functions.metering.usage import UsageBucket, day_of, month_of, month_span


class ArchiveUsage:
    """Implements UsageReader. What was called within the last minutes may not be in it yet.

    ArchiveDamaged where an object is not what was written; what S3 raises comes as it is.
    """

    def __init__(self, archive: Archive) -> None:
        """Read `archive` and the seals in it."""
        self._archive = archive
        self._seals = Seals(archive.bucket)

    def rows(
        self, start: int, end: int, customer: str | None = None, *, among: Collection[str] | None = None
    ) -> Iterator[UsageEvent]:
        """Live rows of a span in the order of (started_at, call_id), a month at a time."""
        while start < end:
            month = month_of(start)
            month_end = month_span(month)[1]
            found = self._of_month(month, start, min(end, month_end), customer)
            yield from (row for row in found if among is None or row.customer in among)
            start = month_end

    def buckets(self, start: int, end: int, customer: str | None = None) -> list[UsageBucket]:
        """The same rows, counted."""
        calls: Counter[tuple[str, str, str, str, str, str]] = Counter()
        units: Counter[tuple[str, str, str, str, str, str]] = Counter()
        first: dict[tuple[str, str, str, str, str, str], int] = {}
        for row in self.rows(start, end, customer):
            group = (row.customer, row.plan, row.model, row.version, row.kind, day_of(row.started_at))
            calls[group] += 1
            units[group] += row.units
            first.setdefault(group, row.started_at)
        return [UsageBucket(*group, calls[group], units[group], first[group]) for group in sorted(calls)]

    def stamps(self, start: int, end: int) -> dict[str, str]:
        """A hash of the names of a day's objects, which are never replaced; of a sealed day its seal's."""
        stamps: dict[str, str] = {}
        for day in self._archive.days():
            if day_of(start) <= day <= day_of(end - 1):
                sealed = day in self._seals.days(day[:7])
                named = repr(self._seals.day(day)) if sealed else "\n".join(self._archive.objects(day))
                stamps[day] = sha256(named.encode()).hexdigest()[:32]
        return stamps

    def close(self) -> None:
        """Nothing is held open."""

    def _of_month(self, month: str, start: int, end: int, customer: str | None) -> list[UsageEvent]:
        span = day_of(start), day_of(end - 1)
        days = [day for day in self._archive.days() if span[0] <= day <= span[1]]
        sealed = self._seals.days(month)  # asked last: what is sealed in between is read from its seal
        rows = self._seals.rows((self._seals.day(day) for day in days if day in sealed), customer)
        names = [name for day in days if day not in sealed for name in self._archive.objects(day)]
        rows += [row for row in self._archive.merged(names, customer) if row.state == LIVE]
        within = (row for row in rows if start <= row.started_at < end)
        return sorted(within, key=lambda row: (row.started_at, row.call_id))
