"""Close a month of a state folder whose daybook is written: one process, so that its memory can be told."""

import json
import sys
from pathlib import Path
from time import process_time

from functions.billing.closing import close_month
from functions.metering.usage import month_span
from infra.workspace import Workspace
from tests.benchmarks.clocks import peak_mb


class Unchanged:
    """The reader behind the daybook, which closing asks for nothing but whether days have changed."""

    def stamps(self, start, end):
        """As in billing_part.Made."""
        from functions.metering.usage import days_of

        days = [day for day, *_ in days_of(start, end)]
        return dict.fromkeys(days, "1") if start == month_span(sys.argv[2])[0] else {}

    def rows(self, start, end, customer=None, *, among=None):
        """None of months before."""
        return iter(())


def main() -> None:
    """Close, and tell what it took."""
    place = Workspace(Path(sys.argv[1]))
    began = process_time()
    issued = close_month(sys.argv[2], Unchanged(), place.plan_book(), {}, place.books("Benchmark"), 1)
    seconds = process_time() - began
    calls = sum(invoice["rows"]["count"] for invoice in issued)
    sys.stdout.write(
        json.dumps({"calls": calls, "invoices": len(issued), "seconds": seconds, "peak_mb": peak_mb("self")})
    )


main()
