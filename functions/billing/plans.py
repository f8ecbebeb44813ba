"""Plans: what a call costs and how much may be called, published under the hash of their content.

A plan version reads "starter@5f0c7a3e91b2". Every usage row names the one that was in force when
the call was made, and what is published is never changed: editing a price makes another version,
and the past keeps its own. A change may also be published beforehand, with the instant it takes
force at: then a row's version and its `started_at` together give the terms it is charged by.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from hashlib import sha256
from typing import Annotated

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from functions.billing.amounts import Amount, Count, CountOrNone, Currency, Rate, decimal_text
from functions.billing.currencies import MINOR_UNIT
from functions.billing.holds import check_holdable
from functions.billing.terms import Change, Discount, Price, Surcharge, Table, Tax, nonsense
from models.store import AlreadyStored, NotInStore, Store

HASH_CHARACTERS = 12
NAME_PATTERN = r"^[a-z][a-z0-9-]{0,31}$"

Share = Annotated[int, Field(strict=True, ge=1, le=100)]

# Amounts that are charged as they stand, so that they must be payable.
_CHARGED = ("monthly_fee", "minimum", "prepaid_credit")


class UnknownPlan(KeyError):
    """No plan version of this name is published, or what is stored under it is something else."""

    def __str__(self) -> str:
        return str(self.args[0])


class Plan(Table):
    """One version of a plan. An absent limit is no limit.

    Its canonical form leaves out every field that has its default, so that a field added to Payphone
    later does not rename the versions of today. The defaults below can therefore never change.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    currency: Currency
    price_per_call: Amount | None = None
    """What a call costs, unless one of the prices below fits it."""
    model_prices: dict[str, Amount] = Field(default_factory=dict)
    """Prices a call that hold instead for single models."""
    prices: tuple[Price, ...] = ()
    """Prices by model and kind, by call or unit, with packages or tiers."""
    free_calls: CountOrNone = 0
    """The first calls of a UTC month, over all models, that cost nothing; nor do their units."""
    free_units: CountOrNone = 0
    """The first units of a UTC month that cost nothing where units have a price."""
    monthly_fee: Amount = Decimal(0)
    surcharges: tuple[Surcharge, ...] = ()
    minimum: Amount = Decimal(0)
    """What a month costs at least, after the discount and before credit and taxes."""
    discount: Discount | None = None
    prepaid_credit: Amount = Decimal(0)
    """Paid in advance: used up before anything else is owed, from one month to the next."""
    taxes: tuple[Tax, ...] = ()
    changes: tuple[Change, ...] = ()
    """In the order in which they take force."""
    rate: Rate | None = None
    """Calls a second, on average."""
    burst: Count | None = None
    """Calls that may come at once."""
    quota: Count | None = None
    """Calls a UTC month."""
    prepaid: bool = False
    """Whether calls are paid, as they come, from a wallet that has to be filled before."""
    spend_cap: Amount | None = None
    """The most that a customer's calls may cost in a UTC month: on a prepaid plan with their taxes."""
    hard_limits: bool = False
    """Whether quota and spend_cap hold to the call; else they are counted, after the fact."""
    alert_at: tuple[Share, ...] = (50, 80, 100)
    """Per cent of quota and spend_cap whose use is told to webhooks."""

    @model_validator(mode="after")
    def _whole(self) -> Plan:
        if (self.rate is None) != (self.burst is None):
            raise PydanticCustomError(
                "throttle",
                "rate and burst belong together: calls a second on average, and how many may come at once",
            )
        last = -1
        for number, change in enumerate(self.changes):
            if change.effective_from <= last:
                said = "changes take force one after the other: a later instant was expected"
                raise nonsense("order", said, "changes", number, "effective_from")
            last = change.effective_from
        for number, (_, terms) in enumerate(self.schedule()):
            _check_terms(terms, () if number == 0 else ("changes", number - 1))
        return self

    def schedule(self) -> Iterator[tuple[int, Plan]]:
        """The plan without changes, and from which instant on it is so: one entry, and one more a change."""
        terms = self.model_copy(update={"changes": ()})
        yield 0, terms
        for change in self.changes:
            terms = terms.model_copy(update=change.replaced())
            yield change.effective_from, terms

    def all_prices(self) -> Iterator[Price]:
        """Every price of the plan in the one form."""
        yield from self.prices
        yield from (Price(model=model, price=price) for model, price in self.model_prices.items())
        if self.price_per_call is not None:
            yield Price(price=self.price_per_call)

    def prices_of(self, model: str, kind: str) -> list[Price]:
        """The prices that hold for a call: one for calls, one for units, or one of the two.

        Those that name model and kind come before those that name the model, then the kind, then
        neither. [] if the call has no price.
        """
        fitting = [p for p in self.all_prices() if p.model in (None, model) and p.kind in (None, kind)]
        closest = max((price.closeness for price in fitting), default=0)
        return [price for price in fitting if price.closeness == closest]

    def price(self, model: str) -> Decimal:
        """The list price of one predict call of `model` with one instance, in major units: its first tier."""
        prices = self.prices_of(model, "predict")
        each = [p.tiers[0].price if p.price is None else p.price for p in prices]
        return sum(each, Decimal(0))

    def priced_models(self) -> Iterator[tuple[str, tuple[str | int, ...]]]:
        """The models that are named with a price, each with where in the plan that stands."""
        tables: list[tuple[tuple[str | int, ...], Plan | Change]] = [((), self)]
        tables += [(("changes", number), change) for number, change in enumerate(self.changes)]
        for where, table in tables:
            yield from ((model, (*where, "model_prices", model)) for model in table.model_prices or {})
            for number, price in enumerate(table.prices or ()):
                if price.model is not None:
                    yield price.model, (*where, "prices", number, "model")

    def canonical(self) -> bytes:
        """The plan as the one JSON text that is hashed and published: sorted keys, money as strings."""
        document = self.model_dump(exclude_defaults=True)
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    @property
    def version(self) -> str:
        """The name of this version, "name@" and the first 12 hex digits of its SHA-256."""
        return f"{self.name}@{sha256(self.canonical()).hexdigest()[:HASH_CHARACTERS]}"


def _check_terms(terms: Plan, where: tuple[str | int, ...]) -> None:
    """Refuse terms that don't fit together; `where` they come into force."""
    unit = MINOR_UNIT[terms.currency]
    charged: list[tuple[tuple[str | int, ...], Decimal | None]]
    charged = [((name,), getattr(terms, name)) for name in _CHARGED]
    charged += [
        (("surcharges", number, part), getattr(each, part))
        for number, each in enumerate(terms.surcharges)
        for part in ("fixed", "minimum")
    ]
    charged.append((("discount", "amount"), terms.discount.amount if terms.discount else None))
    for at, amount in charged:
        if amount and amount % unit:
            said = f"finer than {decimal_text(unit)}, the smallest amount of {terms.currency}"
            raise nonsense("too fine", said, *where, *at)
    priced = [(price.model, price.kind, price.per) for price in terms.all_prices()]
    for number, selected in enumerate(priced):
        if selected in priced[:number]:
            model, kind, per = selected
            said = f"there are two prices a {per} for {model or 'every model'}, {kind or 'every kind'}"
            at = ("prices", priced.index(selected)) if terms.prices else ()
            raise nonsense("two prices", said, *where, *at)
    check_holdable(terms, where)
    if not priced:
        raise nonsense("no price", "price_per_call or prices was expected: calls have no price", *where)


class PlanBook:
    """All plan versions that were ever in force, under plans/ in a Store."""

    def __init__(self, store: Store) -> None:
        """Keep plans in `store`."""
        self._store = store

    def publish(self, plan: Plan) -> str:
        """Keep the plan and give its version; publishing the same again changes nothing."""
        version = plan.version
        try:
            self._store.put(_object_name(version), plan.canonical())
        except AlreadyStored:
            self.get(version)
        return version

    def enforce(self, version: str, now_ms: int) -> None:
        """Note that `version` comes into force; if it is so already, nothing changes."""
        plan = version.partition("@")[0]
        history = self.in_force(plan)
        if history and history[-1][1] == version:
            return
        since = max(now_ms, history[-1][0] + 1) if history else now_ms
        self._store.put(_force_name(plan, since), version.encode())

    def in_force(self, plan: str) -> list[tuple[int, str]]:
        """Which versions of the plan of this name came into force when, in milliseconds; oldest first."""
        names = self._store.list(_force_name(plan, 0).rpartition("/")[0] + "/")
        return [(int(name.rpartition("/")[2]), self._store.get(name).decode()) for name in names]

    def get(self, version: str) -> Plan:
        """Read a plan version; UnknownPlan if it is not there or not what its name says."""
        try:
            data = self._store.get(_object_name(version))
        except (NotInStore, ValueError):
            raise UnknownPlan(
                f"plan version {version!r} is not published here: restore plans/ from a backup"
            ) from None
        expected = version.rpartition("@")[2]
        if sha256(data).hexdigest()[:HASH_CHARACTERS] != expected:
            raise UnknownPlan(f"plan version {version!r} was changed after it was published: restore plans/")
        try:
            return Plan.model_validate_json(data)
        except ValidationError as error:
            raise UnknownPlan(f"plan version {version!r} needs a newer Payphone: {error}") from None


def _force_name(plan: str, at_ms: int) -> str:
    return f"plans-in-force/{plan}/{at_ms:015}"


def _object_name(version: str) -> str:
    return f"plans/{version}.json"
