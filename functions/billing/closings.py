"""What months are billed from: settled before the first invoice, so that one which a crash cut short goes on.

rows/                            the daybook
closings/2026-11.json            which days in which state a month is billed from, and what is left out
months/2026-11.json              that a month is closed, and which calls are left out of it, and why
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from functions.billing.amounts import instant_text
from functions.billing.columns import Columns, TamperedRows
from functions.billing.daybook import Day, Daybook
from functions.billing.invoices import DayRows
from functions.metering.event import UsageEvent
from functions.metering.usage import StampedReader, days_of, month_of, month_span
from models.store import AlreadyStored, NotInStore, Store

LATE_MONTHS = 3
"""How many months back late rows are looked for."""

Document = dict[str, Any]


class Closing(NamedTuple):
    """What a month is billed from: the daybook's days, those of months before that came late first."""

    month: str
    days: tuple[Day, ...]
    left_out: Mapping[str, str]

    def days_of(self, customer: str) -> tuple[DayRows, ...]:
        """A customer's part of each day."""
        return tuple(DayRows(d.day, *d.customers[customer]) for d in self.days if customer in d.customers)


class Closings:
    """Which rows the months of one issuer's books are billed from."""

    def __init__(self, store: Store) -> None:
        """Keep them in `store`."""
        self.daybook = Daybook(store)
        self._store = store
        self._closings: dict[str, Closing] = {}

    def begin(self, month: str, usage: StampedReader, left_out: Mapping[str, str], now_ms: int) -> Closing:
        """Settle what a month is billed from; what another has settled before holds."""
        if (settled := self.closing(month)) is not None:
            return settled
        late = [
            day
            for earlier in self.late_months(month)
            for day in self.daybook.write_late(usage, *month_span(earlier), self.days(earlier), month)
        ]
        days = (*late, *self.daybook.write(usage, *month_span(month)))
        said = [{"day": day.day, "stamp": day.stamp, "late": day.late, "sha256": day.sha256} for day in days]
        document = {"settled_at": instant_text(now_ms), "days": said, "left_out": dict(left_out)}
        self._put(f"closings/{month}.json", encode(document))
        found = self.closing(month)
        assert found is not None
        return found

    def closing(self, month: str) -> Closing | None:
        """What a month is billed from, None while that is open; TamperedRows."""
        if month not in self._closings:
            try:
                said = json.loads(self._store.get(f"closings/{month}.json"))
            except NotInStore:
                return None
            days = []
            for each in said["days"]:
                day = self.daybook.find(each["day"], each["stamp"], month if each["late"] else "")
                if day is None or day.sha256 != each["sha256"]:
                    raise TamperedRows(f"{each['day']} is not in the daybook as it was billed in {month}")
                days.append(day)
            self._closings[month] = Closing(month, tuple(days), said["left_out"])
        return self._closings[month]

    def days(self, month: str) -> list[Day]:
        """The days of a closed month as they were billed: its own, and what came late of them since."""
        closings = (self.closing(closed) for closed in self.closed_months() if closed >= month)
        return [day for closing in closings if closing for day in closing.days if day.day[:7] == month]

    def late_months(self, month: str) -> list[str]:
        """The closed ones of the LATE_MONTHS before."""
        closed = self.closed_months()
        return [each for each in months_before(month) if each in closed]

    def late_rows(
        self, month: str, usage: StampedReader, customer: str | None = None
    ) -> Iterator[UsageEvent]:
        """Rows of closed months that no invoice has yet, which would be on the one of `month`."""
        if settled := self.closing(month):
            yield from self.usage(settled, late=True).rows(0, month_span(month)[0], customer)
            return
        for earlier in self.late_months(month):
            billed = self.days(earlier)
            stamps = usage.stamps(*month_span(earlier))
            for day, since, until in days_of(*month_span(earlier)):
                before = [each for each in billed if each.day == day]
                if day in stamps and stamps[day] not in {each.stamp for each in before}:
                    known = self.daybook.calls(before)
                    yield from (row for row in usage.rows(since, until, customer) if row.call_id not in known)

    def usage(self, closing: Closing, *, late: bool) -> Columns:
        """The rows that a closing bills: those of its own month, or the late ones."""
        return self.daybook.read([day for day in closing.days if day.late == late], closing.left_out)

    def rows(self, document: Document) -> Iterator[UsageEvent]:
        """The rows that an invoice bills, in their order; TamperedRows."""
        return self.billed(document, self.cited(document))

    def billed(self, document: Document, rows: Iterable[UsageEvent]) -> Iterator[UsageEvent]:
        """Those of a customer's rows that an invoice bills: on its plans, and not left out."""
        left_out, plans = self._closing_of(document).left_out, set(document["plans"])
        return (row for row in rows if row.plan in plans and row.call_id not in left_out)

    def cited(self, document: Document) -> Iterator[UsageEvent]:
        """All rows of an invoice's customer in the days it names, those that it does not bill too."""
        closing, customer = self._closing_of(document), document["customer"]
        days = [day for day in closing.days if customer in day.customers]
        return self.daybook.read(days).rows(0, month_span(closing.month)[1], customer)

    def _closing_of(self, document: Document) -> Closing:
        closing = self.closing(document["month"])
        if closing is None:
            raise TamperedRows(f"closings/{document['month']}.json is missing: restore it from a backup")
        return closing

    def closed(self, month: str) -> Document | None:
        """When a month was closed and what was left out, or None while it is open."""
        try:
            mark: Document = json.loads(self._store.get(f"months/{month}.json"))
        except NotInStore:
            return None
        return mark

    def closed_months(self) -> list[str]:
        """The closed months, in order."""
        names = self._store.list("months/")
        return [name.removeprefix("months/").removesuffix(".json") for name in names]

    def _put(self, name: str, data: bytes) -> None:
        try:
            self._store.put(name, data)
        except AlreadyStored:
            return


def months_before(month: str) -> list[str]:
    """The LATE_MONTHS months before one, oldest first."""
    found: list[str] = []
    for _ in range(LATE_MONTHS):
        month = month_of(month_span(month)[0] - 1)
        found.insert(0, month)
    return found


def encode(document: Document) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"
