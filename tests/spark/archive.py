"""An archive in a folder, as the meter writes it, and what its live calls come to."""

import re
from collections import Counter
from pathlib import Path

from functions.metering.archive import Archive, Recorded, day_of
from functions.metering.event import VOID, UsageEvent
from functions.metering.usage import month_span
from models.store import LocalStore

START, END = month_span("2026-11")
HOUR = 3_600_000
DOCUMENT = Path(__file__).parents[2] / "docs" / "billing.md"


def query() -> str:
    """The query that the document gives."""
    (found,) = re.findall(r"^SELECT customer.*?;$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    return found.rstrip(";")


def write(folder: Path) -> list[dict[str, object]]:
    """Write calls with replays, voids and batches that came twice; gives the groups of the live ones."""
    rows = [
        UsageEvent(
            f"gw:{n}", (f"a{n}",), "key_1", f"cus_{n % 3}", "pro@1", ("sentiment", 'd"ü\n')[n % 2], "1",
            ("predict", "explain")[n % 5 == 0], n % 4, 10, START + n * 7 * HOUR, "",
        )
        for n in range(120)
    ]  # fmt: skip
    voided = [row._replace(state=VOID, revision=2) for row in rows[::10]]
    replayed = [row._replace(attempts=("x", "y"), revision=2, fingerprint="f") for row in rows[5::10]]
    archive = Archive(LocalStore(folder))  # type: ignore[arg-type]  # a bucket's put is all it takes to write
    batches = [rows[:70], voided, replayed, rows[50:], rows[:70]]
    for number, batch in enumerate(batches):
        archive.write(Recorded(f"{number}{n:05}", row) for n, row in enumerate(batch))
    calls: Counter[tuple[str, ...]] = Counter()
    units: Counter[tuple[str, ...]] = Counter()
    void = {row.call_id for row in voided}
    for row in rows:
        if row.call_id not in void and START <= row.started_at < END:
            of = (row.customer, row.plan, row.model, row.kind, day_of(row.started_at))
            calls[of] += 1
            units[of] += row.units
    names = ("customer", "plan", "model", "kind", "day")
    return [
        {**dict(zip(names, of, strict=True)), "calls": calls[of], "units": units[of]} for of in sorted(calls)
    ]
