"""Pricing: counted calls become lines, by rules that anyone with the rows can repeat.

1. Calls are counted by the plan version their row names, the terms in force at their `started_at`
   (a change that a version announces splits a line at its instant), model, kind, and whether calls or
   units are paid. A price with tiers or packages is one line over all it is for.
2. Free calls go by time: a call is free if fewer calls than its terms' `free_calls` were made before
   it, in this month, under a plan of the same name and currency; its units are free with it. Free
   units go the same way. Tiers count the paid ones in the same order. So editing a plan in mid-month
   grants no second allowance and starts no tier anew.
3. A line's amount is exact, then rounded once to the currency's minor unit, halves away from zero.
   That is what a customer's calculator does, and it makes a credit the exact mirror of the charge.
   Rounding half to even would guard a long chain of roundings against drift; here there is none.
4. A total is a sum of rounded amounts and is never rounded itself.

Where rows stand for several calls at once (`payphone price`), units are taken to be spread evenly
over them, and a unit of a call that is free only in part is free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple

from functions.billing.amounts import instant_text, round_amount
from functions.billing.plans import Plan
from functions.billing.terms import Per, Price
from functions.billing.tiers import Part, cost, parts
from functions.metering.event import UsageEvent
from functions.metering.usage import DAY_MS, UsageBucket

CALLS = "calls"
FEE = "monthly_fee"
SURCHARGE = "surcharge"
MINIMUM = "minimum"


class Unpriced(ValueError):
    """A call has no price on its plan; the message names it."""


class Line(NamedTuple):
    """One line of a bill. `item` is one of the constants above; only calls have a model and a kind.

    `quantity` counts calls or units, as `per` says, `free` of them cost nothing. A line has one
    `unit_price` or several `tiers`. A model or kind "" is every one. `since` is the instant from which
    the terms were in force, 0 from the plan version's start; `late` the month of late calls.
    """

    item: str
    plan: str
    model: str
    kind: str
    quantity: int
    free: int
    unit_price: Decimal | None
    amount: Decimal
    per: Per = "call"
    package: int = 1
    tiers: tuple[Part, ...] = ()
    since: int = 0
    late: str = ""
    name: str = ""

    @property
    def description(self) -> str:
        """The line in words."""
        plan = f"plan {self.plan.partition('@')[0]}"
        if self.item == FEE:
            return f"monthly fee, {plan}"
        if self.item != CALLS:
            return f"{self.name}, {plan}"
        words = [self.model or "all models", self.kind or "all kinds"]
        words += ["units"] * (self.per == "unit")
        words += [f"in packages of {self.package:,}"] * (self.package > 1)
        words.append(plan)
        words += [f"from {instant_text(self.since)}"] * bool(self.since)
        words += [f"late calls of {self.late}"] * bool(self.late)
        return ", ".join(words)


class Terms(NamedTuple):
    """What a plan version charges from an instant on."""

    version: str
    since: int
    plan: Plan


class _Group(NamedTuple):
    version: str
    since: int
    model: str
    kind: str
    per: Per
    late: str


class _Counted:
    """How much fell into one group, and the price it has."""

    def __init__(self, price: Price, counter: tuple[str, str | None, str | None, Per]) -> None:
        self.price = price
        self.counter = counter
        self.quantity = 0
        self.free = 0


class Tally:
    """One customer's month in one currency, counted in the order of time."""

    def __init__(self, currency: str, plan_of: Callable[[str], Plan]) -> None:
        """Count for `currency`; `plan_of` gives the plan of a version that a row names."""
        self.currency = currency
        self.first: dict[str, Terms] = {}
        self._plan_of = plan_of
        self._schedules: dict[str, list[Terms]] = {}
        self._prices: dict[tuple[str, int, str, str], list[Price]] = {}
        self._groups: dict[_Group, _Counted] = {}
        self._made: dict[str, int] = {}
        self._freed: dict[str, int] = {}

    def terms(self, version: str, time_ms: int) -> Terms:
        """What `version` charges at an instant."""
        schedule = self._schedules.get(version)
        if schedule is None:
            plan = self._plan_of(version)
            schedule = [Terms(version, since, terms) for since, terms in plan.schedule()]
            self._schedules[version] = schedule
        if len(schedule) == 1:
            return schedule[0]
        return [terms for terms in schedule if terms.since <= time_ms][-1]

    def add(self, row: UsageEvent, late: str = "") -> None:
        """Count one live row; `late` is its month if that month is closed already."""
        self.count(row.started_at, row.plan, row.model, row.kind, 1, row.units, late)

    def count(
        self, started_at: int, version: str, model: str, kind: str, calls: int, units: int, late: str = ""
    ) -> None:
        """Count calls that started at one instant. Unpriced if their plan has no price for them."""
        terms = self.terms(version, started_at)
        name, plan = terms.plan.name, terms.plan
        self.first.setdefault(name, terms)
        made = self._made.get(name, 0)
        self._made[name] = made + calls
        free = max(0, min(calls, plan.free_calls - made))
        key = (version, terms.since, model, kind)
        prices = self._prices.get(key)
        if prices is None:
            prices = self._prices[key] = plan.prices_of(model, kind)
        if not prices:
            raise Unpriced(f"plan {name} has no price for {kind} calls of {model}: give it price_per_call")
        for price in prices:
            selected = (price.model or "", price.kind or "") if price.by_quantity else (model, kind)
            group = _Group(version, terms.since, *selected, price.per, late)
            counted = self._groups.get(group)
            if counted is None:
                counted = _Counted(price, (name, price.model, price.kind, price.per))
                self._groups[group] = counted
            if price.per == "call":
                counted.quantity += calls
                counted.free += free
            else:
                counted.quantity += units
                counted.free += self._free_units(plan, units, -(-units * free // calls))

    def takes(self, day: Sequence[UsageBucket]) -> bool:
        """Whether counting the buckets of a UTC day comes to the same as counting its rows one by one.

        Not so where terms change within the day, where some calls or units of it are free and others
        not, and where two buckets begin in the same millisecond, so that their order is not known.
        """
        if len({bucket.first for bucket in day}) < len(day):
            return False
        calls: Counter[str] = Counter()
        units: Counter[str] = Counter()
        for bucket in day:
            plan = self.terms(bucket.plan, bucket.first).plan
            calls[plan.name] += bucket.calls
            units[plan.name] += bucket.units
        for bucket in day:
            midnight = bucket.first - bucket.first % DAY_MS
            terms = self.terms(bucket.plan, midnight)
            if terms.since != self.terms(bucket.plan, midnight + DAY_MS - 1).since:
                return False
            name, plan = terms.plan.name, terms.plan
            made, freed = self._made.get(name, 0), self._freed.get(name, 0)
            if made < plan.free_calls < made + calls[name] or freed < plan.free_units < freed + units[name]:
                return False
        return True

    def _free_units(self, plan: Plan, units: int, free: int) -> int:
        """Free with their calls, or of the month's own free units."""
        if not plan.free_units:
            return free
        freed = self._freed.get(plan.name, 0)
        allowed = max(0, min(units - free, plan.free_units - freed))
        self._freed[plan.name] = freed + allowed
        return free + allowed

    def hold(self, version: str, since_ms: int = 0) -> None:
        """Take in that a key was valid on this plan version from an instant on; after the last row."""
        terms = self.terms(version, since_ms)
        self.first.setdefault(terms.plan.name, terms)

    def usage_lines(self) -> list[Line]:
        """The priced calls, by plan version, change, model and kind."""
        totals: dict[object, int] = {}
        for counted in self._groups.values():
            paid = counted.quantity - counted.free
            totals[counted.counter] = totals.get(counted.counter, 0) + paid
        before: dict[object, int] = {}
        lines = []
        for group, counted in self._groups.items():  # in the order of their first calls
            paid = counted.quantity - counted.free
            earlier = before.get(counted.counter, 0) if counted.price.by_quantity else 0
            before[counted.counter] = earlier + paid
            found = parts(counted.price, earlier, paid, totals[counted.counter])
            lines.append(self._line(group, counted, found))
        return sorted(
            lines, key=lambda line: (line.late, line.plan, line.since, line.model, line.kind, line.per)
        )

    def _line(self, group: _Group, counted: _Counted, found: list[Part]) -> Line:
        return Line(
            item=CALLS,
            plan=group.version,
            model=group.model,
            kind=group.kind,
            quantity=counted.quantity,
            free=counted.free,
            unit_price=counted.price.price,
            amount=round_amount(cost(found), self.currency),
            per=group.per,
            package=counted.price.package,
            tiers=tuple(found) if counted.price.tiers else (),
            since=group.since,
            late=group.late,
        )
