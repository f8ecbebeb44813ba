"""Writing the daybook as days pass, so that closing a month has only to count it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from functions.billing.books import Books
from functions.metering.usage import days_of, month_span
from infra.place import Place
from infra.progress import Progress


def write_daybook(
    place: Place,
    books: Books,
    month: str,
    on_progress: Callable[[Progress], None],
    days: set[str] | None = None,
) -> None:
    """Write the days of a month, or only some; one that is there in its present state is left alone."""
    span = [each for each in days_of(*month_span(month)) if days is None or each[0] in days]
    with closing(place.usage()) as usage:
        for number, (day, start, end) in enumerate(span, 1):
            books.daybook.write(usage, start, end)
            on_progress(Progress("daybook", f"{day} is in the daybook", number, len(span), {}))


def write_sealed_days(place: Place, books: Books, on_progress: Callable[[Progress], None]) -> None:
    """Write the days that are sealed, of the months that are not closed."""
    seals, closed = place.seals(), set(books.closed_months())
    for month in sorted({name[:7] for name in seals.names("")} - closed):
        write_daybook(place, books, month, on_progress, seals.days(month))
