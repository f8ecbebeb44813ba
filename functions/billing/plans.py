"""Plans: what a call costs and how much may be called, published under the hash of their content.

A plan version reads "starter@5f0c7a3e91b2". Every usage row names the one that was in force when
the call was made, and what is published is never changed: editing a price makes another version,
and the past keeps its own. Money is `Decimal` in major units (dollars, not cents); a price a call
may be as fine as 12 decimals, an amount that is charged as such may not be finer than the
currency's minor unit.
"""

from __future__ import annotations

import json
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from functions.billing.currencies import MINOR_UNIT
from models.store import AlreadyStored, NotInStore, Store

HASH_CHARACTERS = 12
NAME_PATTERN = r"^[a-z][a-z0-9-]{0,31}$"


class UnknownPlan(KeyError):
    """No plan version of this name is published, or what is stored under it is something else."""

    def __str__(self) -> str:
        return str(self.args[0])


def decimal_text(value: Decimal) -> str:
    """Write a number one way only: no exponent, no trailing zeros, so that equal prices hash alike."""
    return format(value.normalize(), "f") if value else "0"


def _exact(value: Any) -> Any:
    if isinstance(value, (bool, float)):  # a binary float is not the amount that was written
        raise PydanticCustomError("amount", "an amount is a number, or a number as a string")
    return value


def _known_currency(code: str) -> str:
    if code not in MINOR_UNIT:
        raise PydanticCustomError("currency", 'a currency is an ISO 4217 code such as "USD", "EUR" or "JPY"')
    return code


Currency = Annotated[str, AfterValidator(_known_currency)]
Amount = Annotated[
    Decimal,
    BeforeValidator(_exact),
    Field(ge=0, lt=10**9, decimal_places=12),
    PlainSerializer(decimal_text, return_type=str),
]
Rate = Annotated[
    Decimal,
    BeforeValidator(_exact),
    Field(gt=0, le=10**6, decimal_places=6),
    PlainSerializer(decimal_text, return_type=str),
]
Count = Annotated[int, Field(strict=True, ge=1, le=10**15)]


class Plan(BaseModel):
    """One version of a plan. An absent limit is no limit.

    Its canonical form leaves out every field that has its default, so that a field added to Payphone
    later does not rename the versions of today. The defaults below can therefore never change.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    currency: Currency
    price_per_call: Amount
    model_prices: dict[str, Amount] = Field(default_factory=dict)
    """Prices a call that hold instead for single models."""
    free_calls: Annotated[int, Field(strict=True, ge=0, le=10**15)] = 0
    """The first calls of a UTC month, over all models, that cost nothing."""
    monthly_fee: Amount = Decimal(0)
    rate: Rate | None = None
    """Calls a second, on average."""
    burst: Count | None = None
    """Calls that may come at once."""
    quota: Count | None = None
    """Calls a UTC month."""

    @model_validator(mode="after")
    def _whole(self) -> Plan:
        if (self.rate is None) != (self.burst is None):
            raise PydanticCustomError(
                "throttle",
                "rate and burst belong together: calls a second on average, and how many may come at once",
            )
        if self.monthly_fee % MINOR_UNIT[self.currency]:
            raise PydanticCustomError(
                "monthly_fee",
                "monthly_fee is finer than {unit}, the smallest amount of {currency}",
                {"unit": decimal_text(MINOR_UNIT[self.currency]), "currency": self.currency},
            )
        return self

    def price(self, model: str) -> Decimal:
        """The price of one call of `model`, in major units."""
        return self.model_prices.get(model, self.price_per_call)

    def canonical(self) -> bytes:
        """The plan as the one JSON text that is hashed and published: sorted keys, money as strings."""
        document = self.model_dump(exclude_defaults=True)
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    @property
    def version(self) -> str:
        """The name of this version, "name@" and the first 12 hex digits of its SHA-256."""
        return f"{self.name}@{sha256(self.canonical()).hexdigest()[:HASH_CHARACTERS]}"


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


def _object_name(version: str) -> str:
    return f"plans/{version}.json"
