"""The books: closed invoices and credit notes of one issuer, numbered without a gap and never changed.

    documents/ISSUER/00000001.json   one after the other; each names the SHA-256 of the one before
    customers/CUSTOMER/00000001      an empty object a document: a customer's are found without reading all

What months are billed from lies beside them (closings.py). A document comes into being by one write
that fails if its number is taken. So a crash leaves it there or not, and two operators who close at
once share one sequence: who loses a number reads what took it, and asks for the next only if its own
invoice is still missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256

from functions.billing.amounts import instant_text
from functions.billing.closings import Closings, Document, encode
from functions.billing.invoices import Invoice
from functions.metering.event import UsageEvent
from functions.metering.usage import month_span
from models.store import AlreadyStored, NotInStore, Store

INVOICE, CREDIT_NOTE = "invoice", "credit_note"
CLOSED = "closed"
Sign = Callable[[Document], Mapping[str, str]]


class UnknownDocument(KeyError):
    """There is no invoice or credit note of this number."""

    def __str__(self) -> str:
        return f"no invoice has the number {self.args[0]!r}: `payphone invoice list` shows those there are"


class Books(Closings):
    """An issuer's documents in a Store, read as they are needed; several processes may write."""

    def __init__(self, store: Store, issuer: str) -> None:
        """Open the books of `issuer`, the name that invoices carry."""
        self.issuer = issuer
        super().__init__(store)
        self._prefix = re.sub(r"[^a-z0-9]+", "-", issuer.lower()).strip("-") or "invoice"
        self._documents: list[Document] = []
        self._invoices: dict[tuple[str, str, str], Document] = {}
        self._last = ""
        self._listed = 0

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

    def close(self, month: str, left_out: Mapping[str, str], now_ms: int) -> None:
        """Note that all invoices of a month are there; closing twice changes nothing."""
        self._list_customer()
        head = {"documents": len(self.documents()), "sha256": self._last}
        mark = {"closed_at": instant_text(now_ms), "left_out": dict(left_out), "head": head}
        self._put(f"months/{month}.json", encode(mark))

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
            self._store.put(self._name(number), encode(numbered))
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
