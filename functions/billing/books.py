"""The books: closed invoices and credit notes of one issuer, numbered without a gap and never changed.

    documents/ISSUER/00000001.json   one after the other; each names the SHA-256 of the one before
    customers/CUSTOMER/00000001      an empty object a document: a customer's are found without reading all
    rows/                            the daybook: the rows that invoices are computed from
    closings/2026-11.json            which days in which state a month is billed from, and what is left out
    months/2026-11.json              that a month is closed, and which calls are left out of it, and why

What a month is billed from is settled before its first invoice, so that one which a crash cut short
goes on from the same rows. A document comes into being by one write that fails if its number is
taken. So a crash leaves it there or not, and two operators who close at once share one sequence: who
loses a number reads what took it, and asks for the next only if its own invoice is still missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Any, NamedTuple

from functions.billing.amounts import instant_text
from functions.billing.columns import Columns, TamperedRows
from functions.billing.daybook import Day, Daybook
from functions.billing.invoices import DayRows, Invoice
from functions.metering.event import UsageEvent
from functions.metering.usage import StampedReader, days_of, month_of, month_span
from models.store import AlreadyStored, NotInStore, Store

INVOICE, CREDIT_NOTE = "invoice", "credit_note"
CLOSED = "closed"
LATE_MONTHS = 3
"""How many months back late rows are looked for."""

Document = dict[str, Any]
Sign = Callable[[Document], Mapping[str, str]]


class Closing(NamedTuple):
    """What a month is billed from: the daybook's days, those of months before that came late first."""

    month: str
    days: tuple[Day, ...]
    left_out: Mapping[str, str]

    def days_of(self, customer: str) -> tuple[DayRows, ...]:
        """A customer's part of each day."""
        return tuple(DayRows(d.day, *d.customers[customer]) for d in self.days if customer in d.customers)


class UnknownDocument(KeyError):
    """There is no invoice or credit note of this number."""

    def __str__(self) -> str:
        return f"no invoice has the number {self.args[0]!r}: `payphone invoice list` shows those there are"


class Books:
    """An issuer's documents in a Store, read as they are needed; several processes may write."""

    def __init__(self, store: Store, issuer: str) -> None:
        """Open the books of `issuer`, the name that invoices carry."""
        self.issuer = issuer
        self._store = store
        self.daybook = Daybook(store)
        self._prefix = re.sub(r"[^a-z0-9]+", "-", issuer.lower()).strip("-") or "invoice"
        self._documents: list[Document] = []
        self._invoices: dict[tuple[str, str, str], Document] = {}
        self._last = ""
        self._listed = 0
        self._closings: dict[str, Closing] = {}

    def documents(self) -> Sequence[Document]:
        """All of them, in the order of their numbers."""
        while True:
            try:
                data = self._store.get(self._name(len(self._documents) + 1))
            except NotInStore:
                return self._documents
            document: Document = json.loads(data)
            self._documents.append(document)
            self._last = sha256(data).hexdigest()
            if document["type"] == INVOICE:
                of = (document["customer"], document["month"], document["currency"])
                self._invoices[of] = document

    def get(self, number: str) -> Document:
        """One document; UnknownDocument."""
        for document in self.documents():
            if document["number"] == number:
                return document
        raise UnknownDocument(number)

    def of_customer(self, customer: str) -> list[Document]:
        """A customer's documents, in the order of their numbers; nothing else is read."""
        names = self._store.list(f"customers/{customer}/")
        return [json.loads(self._store.get(self._name(int(name.rpartition("/")[2])))) for name in names]

    def invoices(self, month: str) -> list[Document]:
        """The invoices of a month."""
        return [d for d in self.documents() if d["type"] == INVOICE and d["month"] == month]

    def notes(self, number: str) -> list[Document]:
        """The credit notes to an invoice."""
        return [d for d in self.documents() if d["type"] == CREDIT_NOTE and d["invoice"] == number]

    def issue_invoice(
        self, draft: Invoice, now_ms: int, proof: Document | None = None, sign: Sign | None = None
    ) -> Document:
        """Close a draft, with what `proof` says of the seals that it rests on, and sign it.

        If the customer has an invoice of the month in this currency, give that.
        """
        of = (draft.customer, draft.month, draft.currency)
        self.documents()
        while of not in self._invoices:
            closed = {**draft.document(), "status": CLOSED, "held": dict(draft.held), **(proof or {})}
            self._issue({"type": INVOICE, **closed}, now_ms, sign)
        return self._invoices[of]

    def issue_note(self, note: Document, now_ms: int) -> Document:
        """Issue a credit note."""
        self.documents()
        while (issued := self._issue({"type": CREDIT_NOTE, "status": CLOSED, **note}, now_ms)) is None:
            pass
        return issued

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
        self._put(f"closings/{month}.json", _encode(document))
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

    def close(self, month: str, left_out: Mapping[str, str], now_ms: int) -> None:
        """Note that all invoices of a month are there; closing twice changes nothing."""
        self._list_customer()
        head = {"documents": len(self.documents()), "sha256": self._last}
        mark = {"closed_at": instant_text(now_ms), "left_out": dict(left_out), "head": head}
        self._put(f"months/{month}.json", _encode(mark))

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

    def problems(self) -> list[str]:
        """What says that documents were changed or removed after they were issued; [] as it should be."""
        found: list[str] = []
        hashes: list[str] = []
        previous = ""
        names = self._store.list(self._name(0).rpartition("/")[0] + "/")
        for position, name in enumerate(names, 1):
            if name != self._name(position):
                return [*found, f"document {position} is missing: the numbers go on with {name}"]
            data = self._store.get(name)
            try:
                said = json.loads(data)["previous"]
            except (ValueError, KeyError, TypeError):
                said = None
            if said != previous:
                found.append(f"document {position - 1 or 1} was changed after it was issued")
            previous = sha256(data).hexdigest()
            hashes.append(previous)
        for mark in self._store.list("months/"):
            head = json.loads(self._store.get(mark))["head"]
            if len(hashes) < head["documents"]:
                found.append(f"documents after {len(hashes)} are missing: there were {head['documents']}")
            elif head["documents"] and hashes[head["documents"] - 1] != head["sha256"]:
                found.append(f"document {head['documents']} was changed after {mark} was written")
        return found

    def _issue(self, document: Document, now_ms: int, sign: Sign | None = None) -> Document | None:
        """Write the document that follows those read so far; None if another took its number."""
        self._list_customer()  # a crash may have come between the last one and this
        number = len(self._documents) + 1
        numbered = {
            "number": f"{self._prefix}-{number:06}",
            "issuer": self.issuer,
            "issued_at": instant_text(now_ms),
            **document,
            "previous": self._last,
        }
        if sign:
            numbered["signed"] = sign(numbered)
        try:
            self._store.put(self._name(number), _encode(numbered))
        except AlreadyStored:
            self.documents()
            return None
        issued = self.documents()[number - 1]
        self._list_customer()
        return issued

    def _list_customer(self) -> None:
        """Let the last document be found by its customer."""
        if self._listed < len(self._documents):
            self._listed = len(self._documents)
            self._put(f"customers/{self._documents[-1]['customer']}/{self._listed:08}", b"")

    def _name(self, number: int) -> str:
        return f"documents/{self._prefix}/{number:08}.json"

    def _put(self, name: str, data: bytes) -> None:
        try:
            self._store.put(name, data)
        except AlreadyStored:
            return


class ClosedPast:
    """What documents say of the months before. Implements Past."""

    def __init__(self, books: Books, documents: Iterable[Document]) -> None:
        """Look back on `documents`."""
        self._books = books
        self._documents: dict[str, list[Document]] = {}
        for document in documents:
            self._documents.setdefault(document["customer"], []).append(document)

    def billed(self, month: str, customer: str) -> Iterator[UsageEvent]:
        """Rows of a month, from its own invoices and from later ones that have them as late."""
        start, end = month_span(month)
        for document in self._documents.get(customer, []):
            if document["type"] == INVOICE and document["month"] >= month:
                yield from (row for row in self._books.rows(document) if start <= row.started_at < end)

    def credit_used(self, customer: str) -> Mapping[str, Decimal]:
        """Prepaid credit by plan name: what invoices took, less what credit notes gave back."""
        used: dict[str, Decimal] = {}
        for document in self._documents.get(customer, []):
            sign = 1 if document["type"] == INVOICE else -1
            for credit in document["credits"]:
                plan = credit["plan"].partition("@")[0]
                used[plan] = used.get(plan, Decimal(0)) + sign * Decimal(credit["amount"])
        return used


def months_before(month: str) -> list[str]:
    """The LATE_MONTHS months before one, oldest first."""
    found: list[str] = []
    for _ in range(LATE_MONTHS):
        month = month_of(month_span(month)[0] - 1)
        found.insert(0, month)
    return found


def _encode(document: Document) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"
