"""The books: closed invoices and credit notes of one issuer, numbered without a gap and never changed.

    documents/ISSUER/00000001.json   one after the other; each names the SHA-256 of the one before
    rows/SHA256.jsonl.gz             the rows an invoice was computed from
    months/2026-11.json              that a month is closed, and which calls are left out of it, and why

A document comes into being by one write that fails if its number is taken. So a crash leaves it
there or not, and two operators who close at once share one sequence: who loses a number reads what
took it, and asks for the next only if its own invoice is still missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Any

from functions.billing.amounts import instant_text
from functions.billing.invoices import Invoice
from functions.billing.rows import read_rows
from functions.metering.event import UsageEvent
from functions.metering.usage import month_of, month_span
from models.store import AlreadyStored, NotInStore, Store

INVOICE, CREDIT_NOTE = "invoice", "credit_note"
CLOSED = "closed"
LATE_MONTHS = 3
"""How many months back late rows are looked for."""

Document = dict[str, Any]


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
        self._prefix = re.sub(r"[^a-z0-9]+", "-", issuer.lower()).strip("-") or "invoice"
        self._documents: list[Document] = []
        self._invoices: dict[tuple[str, str, str], Document] = {}
        self._last = ""

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

    def invoices(self, month: str) -> list[Document]:
        """The invoices of a month."""
        return [d for d in self.documents() if d["type"] == INVOICE and d["month"] == month]

    def notes(self, number: str) -> list[Document]:
        """The credit notes to an invoice."""
        return [d for d in self.documents() if d["type"] == CREDIT_NOTE and d["invoice"] == number]

    def issue_invoice(self, draft: Invoice, now_ms: int) -> Document:
        """Close a draft; if the customer has an invoice of the month in this currency, give that."""
        of = (draft.customer, draft.month, draft.currency)
        self.documents()
        while of not in self._invoices:
            name = f"rows/{draft.rows_sha256}.jsonl.gz"
            if not self._has(name):
                self._put(name, draft.rows)
            closed = {**draft.document(), "status": CLOSED, "held": dict(draft.held)}
            self._issue({"type": INVOICE, **closed}, now_ms)
        return self._invoices[of]

    def issue_note(self, note: Document, now_ms: int) -> Document:
        """Issue a credit note."""
        self.documents()
        while (issued := self._issue({"type": CREDIT_NOTE, "status": CLOSED, **note}, now_ms)) is None:
            pass
        return issued

    def rows(self, document: Document) -> Iterator[UsageEvent]:
        """The rows an invoice was computed from, in their order; TamperedRows."""
        digest = document["rows"]["sha256"]
        return read_rows(self._store.get(f"rows/{digest}.jsonl.gz"), digest)

    def close(self, month: str, left_out: Mapping[str, str], now_ms: int) -> None:
        """Note that all invoices of a month are there; closing twice changes nothing."""
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

    def _issue(self, document: Document, now_ms: int) -> Document | None:
        """Write the document that follows those read so far; None if another took its number."""
        number = len(self._documents) + 1
        numbered = {
            "number": f"{self._prefix}-{number:06}",
            "issuer": self.issuer,
            "issued_at": instant_text(now_ms),
            **document,
            "previous": self._last,
        }
        try:
            self._store.put(self._name(number), _encode(numbered))
        except AlreadyStored:
            self.documents()
            return None
        return self.documents()[number - 1]

    def _name(self, number: int) -> str:
        return f"documents/{self._prefix}/{number:08}.json"

    def _has(self, name: str) -> bool:
        try:
            self._store.get(name)
        except NotInStore:
            return False
        return True

    def _put(self, name: str, data: bytes) -> None:
        try:
            self._store.put(name, data)
        except AlreadyStored:
            return


class ClosedPast:
    """What the books say of the months before. Implements Past; `until` leaves out later documents."""

    def __init__(self, books: Books, until: str = "") -> None:
        """Look back from now or, if `until` is a document's number, from when that was issued."""
        self._books = books
        documents = books.documents()
        numbers = [document["number"] for document in documents]
        self._documents = documents[: numbers.index(until)] if until else documents[:]
        self._marks = {month: mark for month in books.closed_months() if (mark := books.closed(month))}

    def late_months(self, month: str) -> list[str]:
        """The closed ones of the last LATE_MONTHS."""
        return [each for each in months_before(month) if each in self._marks]

    def settled(self, month: str, customer: str) -> Collection[str]:
        """Calls that are billed, or were left out when a month was closed."""
        ids = {row.call_id for row in self.billed(month, customer)}
        for mark in self._marks.values():
            ids.update(mark["left_out"])
        return ids

    def billed(self, month: str, customer: str) -> Iterator[UsageEvent]:
        """Rows of a month, from its own invoices and from later ones that have them as late."""
        start, end = month_span(month)
        for document in self._documents:
            if (
                document["type"] == INVOICE
                and document["customer"] == customer
                and document["month"] >= month
            ):
                yield from (row for row in self._books.rows(document) if start <= row.started_at < end)

    def credit_used(self, customer: str) -> Mapping[str, Decimal]:
        """Prepaid credit by plan name: what invoices took, less what credit notes gave back."""
        used: dict[str, Decimal] = {}
        for document in self._documents:
            if document["customer"] == customer:
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
