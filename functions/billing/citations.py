"""What an invoice rests on: for each day its seals, their signed roots, and how many of their calls it bills.

Before a month's first invoice is issued, every row that the month bills is put under a seal, if it is under
none yet. So whoever has a receipt can hold it against the invoice from the hour that it is issued.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from itertools import groupby
from typing import Any

from functions.billing.books import Books
from functions.billing.closings import Closing
from functions.billing.daybook import Day
from functions.billing.invoices import Invoice
from functions.metering.canonical import canonical_row
from functions.metering.heads import Head, PublicKey
from functions.metering.merkle import leaf_hash
from functions.metering.sealing import Sealer
from functions.metering.seals import DaySeal, Seals
from functions.metering.usage import month_span


class Citations:
    """Seals what a closing bills, and cites it."""

    def __init__(self, books: Books, seals: Seals, sealer: Sealer) -> None:
        """`sealer` seals into the same store as `seals` reads."""
        self._books, self._seals, self._sealer = books, seals, sealer

    def cite(self, settled: Closing, drafts: list[Invoice]) -> list[dict[str, Any]]:
        """For each draft what its document says of seals and keys. With `sign` it implements Prover."""
        of_day = cache(self._seals.of_day)
        for day in settled.days:
            if not all(_whole(day, customer, of_day(day.day)) for customer in day.customers):
                self._sealer.add(day.day, self._billed(settled, day))
        of_day.cache_clear()
        current = self._sealer.publish_key().id
        keys = self._seals.keys()
        found = []
        for draft in drafts:
            cited = self._cited(settled, draft, of_day)
            used = _vouched({head.key for head, _ in cited} | {current}, keys)
            entries = [{**head.document(), "billed": billed} for head, billed in cited]
            found.append({"seals": entries, "keys": [keys[name]._asdict() for name in used]})
        return found

    def sign(self, document: Mapping[str, Any]) -> Mapping[str, str]:
        """The signature under a whole invoice."""
        return self._sealer.sign_invoice(document)

    def _billed(self, settled: Closing, day: Day) -> dict[str, set[bytes]]:
        """Leaf hashes of the rows of a day that are billed, by customer."""
        rows = self._books.daybook.read([day], settled.left_out).by_customer()
        return {
            customer: {leaf_hash(canonical_row(row)) for row in of_customer}
            for customer, of_customer in groupby(rows, lambda row: row.customer)
        }

    def _cited(self, settled: Closing, draft: Invoice, of_day: Any) -> list[tuple[Head, int]]:
        """The heads under which a draft's rows are, with how many."""
        days = [day for day in settled.days if draft.customer in day.customers]
        bills_all = draft.calls == sum(day.customers[draft.customer].rows for day in days)
        cited: dict[Head, int] = {}
        for day in days:
            head = _whole(day, draft.customer, of_day(day.day))
            counted = (
                [(head, head.size)] if bills_all and head else self._counted(settled, draft, day, of_day)
            )
            for each, billed in counted:
                cited[each] = cited.get(each, 0) + billed
        return [(head, billed) for head, billed in sorted(cited.items()) if billed]

    def _counted(self, settled: Closing, draft: Invoice, day: Day, of_day: Any) -> list[tuple[Head, int]]:
        """How many of a draft's rows of a day are under each seal of it, by looking."""
        plans = {line.plan for line in draft.lines}
        rows = self._books.daybook.read([day], settled.left_out)
        _, end = month_span(settled.month)
        left = {
            leaf_hash(canonical_row(row)) for row in rows.rows(0, end, draft.customer) if row.plan in plans
        }
        found = []
        for seal in of_day(day.day):
            if head := seal.customers.get(draft.customer):
                sealed = {leaf_hash(canonical_row(row)) for row in self._seals.rows([seal], draft.customer)}
                found.append((head, len(left & sealed)))
                left -= sealed
        return found


def _whole(day: Day, customer: str, seals: Iterable[DaySeal]) -> Head | None:
    """The head that has just the rows of a customer's day, as their root says, if there is one."""
    heads = (seal.customers[customer] for seal in seals if customer in seal.customers)
    entry = day.customers[customer]
    return next((head for head in heads if (head.size, head.root) == (entry.rows, entry.root)), None)


def _vouched(used: set[str], keys: Mapping[str, PublicKey]) -> list[str]:
    """The keys that were used, and those before them that vouch for them, oldest first."""
    found: list[str] = []
    for name in sorted(used):
        chain = [name]
        while (previous := keys[chain[0]].previous) in keys and previous not in chain:
            chain.insert(0, previous)
        found += [each for each in chain if each not in found]
    return found
