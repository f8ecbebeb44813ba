"""Reconcile: access log, ledger and invoices held against each other, call by call.

Each log line has the attempt that was answered, each ledger row the attempts that were made for its
call, each invoice the rows it bills. What does not fit is a finding with a name:

    failed        billed, but every attempt was answered with a failure: to be credited
    unproven      billed, but there is no log line to say how it was answered
    unbilled      answered, but there is no live row: the customer's gain
    doubled       two rows for one call or one attempt, or a call on two invoices
    corrupt       a row that contradicts its log line, its key, or names no plan of ours
    unknown       on an invoice, but not in the ledger; or answered to a key that is none of ours
    changed       the row is not what it was when it was billed
    uninvoiced    live and answered, but on none of the month's invoices: late, so on the next one
    log           a line of the log that can't be read, or that is there twice
    order         rows do not come in the order of time
    seal          a seal that can't be read, or is not signed by a key of ours
    books         a closed document was changed or removed, or does not come out of its rows

No finding ever makes a customer pay more: `left_out` is what must not be billed, on that evidence.
A month's log is complete once a line of a later instant is in it; before that nothing is concluded
from a line that is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from functions.metering.accesslog import AccessRecord, Torn
from functions.metering.canonical import canonical_row
from functions.metering.event import UsageEvent
from functions.metering.usage import month_span

FAILED, UNPROVEN, UNBILLED, DOUBLED = "failed", "unproven", "unbilled", "doubled"
CORRUPT, UNKNOWN, CHANGED, UNINVOICED = "corrupt", "unknown", "changed", "uninvoiced"
LOG, ORDER, BOOKS, SEAL = "log", "order", "books", "seal"

_BILLABLE = ("predict", "explain", "infer", "batch")


class Finding(NamedTuple):
    """One thing that does not fit. `call` and `customer` are "" where there is none to name."""

    what: str
    call: str
    customer: str
    detail: str


class Owners(NamedTuple):
    """Whose keys are whose, and which plan versions are published."""

    customer_of: Mapping[str, str]
    is_plan: Callable[[str], bool]


class Report(NamedTuple):
    """The outcome. `answered` counts answers with a row behind them, replays too.

    `watermark` is the instant of the log's last line, `left_out` what must not be billed and why.
    """

    month: str
    answered: int
    rows: int
    agreed: int
    findings: tuple[Finding, ...]
    watermark: int
    complete: bool
    left_out: Mapping[str, str]
    unproven: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether nothing is left to explain so far."""
        return not self.findings


def compare(
    month: str,
    log: Iterable[AccessRecord | Torn],
    rows: Iterable[UsageEvent],
    owners: Owners,
    watermark: int,
    *,
    customer: str | None = None,
    settled: Collection[str] = (),
) -> Report:
    """Hold a month's log and its rows against each other.

    Give log and rows from a replay window before the month to one after it, so that an answer and its
    row are both there whatever side of midnight they fell on. Calls in `settled` were left out of the
    bill or credited already, so that they are no finding any more.
    """
    start, end = month_span(month)
    join = _Join(start, end, owners, customer, settled)
    join.take_rows(rows)
    join.take_log(log)
    join.judge_rows()
    join.judge_answers()
    complete = watermark >= end or not join.count
    return Report(
        month, join.answered, join.count, join.agreed, tuple(sorted(set(join.findings))), watermark,
        complete, join.left_out, tuple(join.unproven),
    )  # fmt: skip


class _Join:
    def __init__(
        self, start: int, end: int, owners: Owners, customer: str | None, settled: Collection[str]
    ) -> None:
        self.findings: list[Finding] = []
        self.left_out: dict[str, str] = {}
        self.unproven: list[str] = []
        self.answered = self.count = self.agreed = 0
        self._start, self._end = start, end
        self._owners = owners
        self._customer = customer
        self._settled = settled
        self._rows: dict[str, UsageEvent] = {}
        self._by_attempt: dict[str, str] = {}
        self._log: dict[str, AccessRecord] = {}

    def take_rows(self, rows: Iterable[UsageEvent]) -> None:
        """Read the ledger: live rows, which should come in order and once."""
        last = (0, "")
        for row in rows:
            here = (row.started_at, row.call_id)
            if here < last:
                self._find(ORDER, row, "the row comes after a later one")
            last = max(last, here)
            if row.call_id in self._rows:
                self._find(DOUBLED, row, "the ledger has two rows of this call", leave_out=False)
                continue
            self._rows[row.call_id] = row
            for attempt in row.attempts:
                other = self._by_attempt.setdefault(attempt, row.call_id)
                if other != row.call_id:
                    self._find(DOUBLED, row, f"attempt {attempt} is billed as {other} already")

    def take_log(self, log: Iterable[AccessRecord | Torn]) -> None:
        """Read the access log: one line an answer, in any order."""
        for record in log:
            if isinstance(record, Torn):
                said = f"{record.file}:{record.line} can't be read"
                self.findings.append(Finding(LOG, "", "", said))
            elif record.attempt_id in self._log:
                said = f"attempt {record.attempt_id} has two lines"
                self.findings.append(Finding(LOG, self._by_attempt.get(record.attempt_id, ""), "", said))
                if not _ok(record):  # in doubt the customer wins
                    self._log[record.attempt_id] = record
            else:
                self._log[record.attempt_id] = record

    def judge_rows(self) -> None:
        """Is each row of the month the bill of an answer?"""
        for row in self._rows.values():
            if not self._start <= row.started_at < self._end or self._customer not in (None, row.customer):
                continue
            self.count += 1
            if row.call_id in self._settled:
                self.agreed += 1
                continue
            records = [self._log[attempt] for attempt in row.attempts if attempt in self._log]
            if said := self._contradiction(row):
                self._find(CORRUPT, row, said)
            elif any(_ok(record) for record in records):
                self.agreed += row.call_id not in self.left_out
            elif records and len(records) == len(row.attempts):
                statuses = ", ".join(str(record.status) for record in records)
                self._find(FAILED, row, f"billed, but answered with {statuses}")
            else:
                self._find(UNPROVEN, row, f"no log line for attempt {row.attempts[0]}", leave_out=False)
                self.unproven.append(row.call_id)

    def judge_answers(self) -> None:
        """Has each answer of the month a row?"""
        for attempt, record in self._log.items():
            if not self._start <= record.time < self._end or not (_billable(record) and _ok(record)):
                continue
            owner = self._owners.customer_of.get(record.key_id, "")
            if self._customer not in (None, owner):
                continue
            if attempt in self._by_attempt:
                self.answered += 1
            elif not owner:
                said = f"attempt {attempt} was answered to {record.key_id or 'no key'}, which is none of ours"
                self.findings.append(Finding(UNKNOWN, "", "", said))
            else:
                said = f"attempt {attempt} was answered with {record.status}, but there is no live row"
                self.findings.append(Finding(UNBILLED, "", owner, said))

    def _contradiction(self, row: UsageEvent) -> str:
        """What a row says that its key, its plan or the log line of the billed attempt does not."""
        owner = self._owners.customer_of.get(row.key_id)
        if owner != row.customer:
            return f"the row is {row.customer}'s, key {row.key_id} is {owner or 'nobody'}'s"
        if not self._owners.is_plan(row.plan):
            return f"plan version {row.plan} is not published here"
        record = self._log.get(row.attempts[0]) if row.attempts else None
        if record is None:
            return "" if row.attempts else "the row names no attempt"
        pairs: list[tuple[str, object, object]] = [
            ("key", row.key_id, record.key_id),
            ("model", row.model, record.model),
        ]
        if not row.fingerprint:  # with one, a later attempt may have taken the row over
            pairs.append(("time", row.started_at, record.time))
            pairs.append(("call", row.call_id, f"gw:{record.attempt_id}"))
        wrong = [f"{name} {said}, the log {logged}" for name, said, logged in pairs if said != logged]
        return f"the row says {wrong[0]}" if wrong else ""

    def _find(self, what: str, row: UsageEvent, said: str, *, leave_out: bool = True) -> None:
        if self._customer in (None, row.customer) and row.call_id not in self._settled:
            self.findings.append(Finding(what, row.call_id, row.customer, said))
        if leave_out and what != ORDER:
            self.left_out[row.call_id] = what


def compare_invoices(
    month: str,
    rows: Iterable[UsageEvent],
    billed: Iterable[tuple[str, UsageEvent]],
    settled: Collection[str],
    *,
    customer: str | None = None,
) -> list[Finding]:
    """Hold a closed month's rows against its invoices.

    `billed` are the rows of the month with the number of the invoice that bills them, late ones too;
    `settled` are calls that were left out of them or credited.
    """
    start, end = month_span(month)
    found: list[Finding] = []
    on: dict[str, tuple[str, UsageEvent]] = {}
    for number, row in billed:
        if row.call_id in on:
            said = f"it is on {on[row.call_id][0]} and on {number}"
            found.append(Finding(DOUBLED, row.call_id, row.customer, said))
        on[row.call_id] = (number, row)
    for row in rows:
        if not start <= row.started_at < end or customer not in (None, row.customer):
            continue
        number, bill = on.pop(row.call_id, ("", row))
        if not number and row.call_id not in settled:
            found.append(
                Finding(UNINVOICED, row.call_id, row.customer, "it is on no invoice yet: on the next one")
            )
        elif canonical_row(bill) != canonical_row(row):
            said = f"the row is not what it was when {number} was closed"
            found.append(Finding(CHANGED, row.call_id, row.customer, said))
    for call, (number, row) in on.items():
        if customer in (None, row.customer) and call not in settled:
            said = f"{number} bills it, but the ledger has no live row"
            found.append(Finding(UNKNOWN, call, row.customer, said))
    return found


def _ok(record: AccessRecord) -> bool:
    return 200 <= record.status < 300


def _billable(record: AccessRecord) -> bool:
    return record.method == "POST" and bool(record.model) and record.path.rpartition("/")[2] in _BILLABLE
