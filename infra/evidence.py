"""What proves a month's bill: access log, ledger and books, here or on a stage, read for one month."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from functools import cache
from itertools import chain

from functions.billing.amounts import instant_text
from functions.billing.books import CREDIT_NOTE, Books
from functions.billing.closing import NotClosable, audit
from functions.billing.plans import PlanBook, UnknownPlan
from functions.billing.reconcile import (
    BOOKS,
    CHANGED,
    UNPROVEN,
    Finding,
    Owners,
    Report,
    compare,
    compare_invoices,
)
from functions.billing.sealed import compare_seals
from functions.metering.accesslog import AccessRecord
from functions.metering.event import UsageEvent
from functions.metering.ledger import REPLAY_WINDOW_MS
from functions.metering.usage import month_of, month_span
from infra.place import Place

# An answer and its row may fall on different sides of midnight.
WINDOW = (-REPLAY_WINDOW_MS, REPLAY_WINDOW_MS)


def examine(place: Place, books: Books, month: str, customer: str | None = None) -> Report:
    """Hold a month's log and ledger against each other.

    Where the log has no line of a call, what its function has said of it stands in, if there is that.
    """
    start, end = (instant + off for instant, off in zip(month_span(month), WINDOW, strict=True))
    with closing(place.keys()) as keys:
        customer_of = {key.key_id: key.customer for key in keys.list()}
    log = place.log()
    owners = Owners(customer_of, _published(place.plan_book()))
    done, watermark = settled(books), log.watermark()
    with closing(place.usage()) as usage:

        def compared(further: Sequence[AccessRecord] = ()) -> Report:
            records = chain(log.read(start, end), further)
            rows = usage.rows(start, end)
            return compare(month, records, rows, owners, watermark, customer=customer, settled=done)

        report = compared()
        if unproven := set(report.unproven):
            further = [*log.results(row for row in usage.rows(start, end) if row.call_id in unproven)]
            report = compared(further) if further else report
        sealed = compare_seals(month, place.seals(), usage.rows(*month_span(month), customer), customer)
    sealed = [each for each in sealed if each.call not in done]
    changed = {each.call: CHANGED for each in sealed if each.what == CHANGED}
    return report._replace(findings=(*report.findings, *sealed), left_out={**report.left_out, **changed})


def examine_books(place: Place, books: Books, month: str, customer: str | None = None) -> list[Finding]:
    """Hold a closed month's rows against its invoices, and these against what they were made of."""
    found = [Finding(BOOKS, "", "", said) for said in books.problems()]
    if found:
        return found
    book = place.plan_book()
    mine = [d for d in books.invoices(month) if customer in (None, d["customer"])]
    found = [Finding(BOOKS, "", d["customer"], said) for d in mine if (said := audit(d, books, book))]
    if found:
        return found
    with closing(place.usage()) as usage:
        rows = usage.rows(*month_span(month), customer)
        return compare_invoices(month, rows, billed_rows(books, month), settled(books), customer=customer)


def what_to_leave_out(
    place: Place, books: Books, month: str, now_ms: int, *, early: bool, unproven_too: bool
) -> dict[str, str]:
    """The calls that closing a month must not bill, each with the reason. NotClosable says what is missing.

    The month has to be over and its log complete, unless it is closed `early`. A call without a log
    line stops it, unless `unproven_too`: then the doubt is the customer's.
    """
    _, end = month_span(month)
    if now_ms < end and not early:
        raise NotClosable(f"{month} is not over: --early closes it now, later calls go on the next invoice")
    left_out: dict[str, str] = {}
    unproven: list[str] = []
    for each in (*books.late_months(month), month):
        report = examine(place, books, each)
        if each == month and not report.complete and not early:
            raise NotClosable(
                f"the access log ends at {instant_text(report.watermark)}, not after {instant_text(end)}: "
                "make any request, such as GET /v2/health/live (a stage's log comes some minutes later)"
            )
        billed = {row.call_id for _, row in billed_rows(books, each)}
        left_out |= {call: why for call, why in report.left_out.items() if call not in billed}
        unproven += [call for call in report.unproven if call not in billed]
    if unproven and not unproven_too:
        raise NotClosable(
            f"{len(unproven)} calls have no line in the access log, {unproven[0]} is the first: `payphone "
            f"reconcile --month {month}` lists them, --leave-out-unproven closes without billing them"
        )
    return left_out | dict.fromkeys(unproven, UNPROVEN)


def settled(books: Books) -> Collection[str]:
    """Calls that were left out when their month was closed, or are credited."""
    marks = (books.closed(month) for month in books.closed_months())
    ids = {call for mark in marks if mark for call in mark["left_out"]}
    return ids.union(*(d["calls"] for d in books.documents() if d["type"] == CREDIT_NOTE))


def billed_rows(books: Books, month: str) -> list[tuple[str, UsageEvent]]:
    """The rows of a month with the number of the invoice that bills them."""
    documents = [d for d in books.documents() if d["type"] != CREDIT_NOTE and d["month"] >= month]
    return [
        (d["number"], row) for d in documents for row in books.rows(d) if month_of(row.started_at) == month
    ]


def _published(book: PlanBook) -> Callable[[str], bool]:
    @cache
    def is_plan(version: str) -> bool:
        try:
            book.get(version)
        except UnknownPlan:
            return False
        return True

    return is_plan
