"""Terms: what a plan charges. Prices by model and kind, tiers, and what is charged by the month.

A price is for calls or for units (instances). It may go by begun packages of several, and by tiers:

    price       the same for all
    graduated   each tier's calls at the tier's own price
    volume      all calls of the month at the price of the tier that their number falls in

Tiers count the paid calls (or units, or packages) of one price in one month, from 1.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from functions.billing.amounts import Amount, Count, CountOrNone, Instant, Percent

Per = Literal["call", "unit"]
Kind = Literal["predict", "explain", "batch"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MODEL_PATTERN = r"^[a-z][a-z0-9_-]{0,63}$"
ONE_LINE = r"^[^\x00-\x1f\x7f]{1,80}$"


def nonsense(kind: str, said: str, *under: str | int) -> PydanticCustomError:
    """An error of a whole table that stands at one of its settings: `under` says at which."""
    return PydanticCustomError("nonsense", "{said}", {"said": said, "under": under, "kind": kind})


class Table(BaseModel):
    """A table of settings. Its canonical form leaves out what has its default, which can never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Tier(Table):
    """The calls up to and including `up_to` of a month. The last tier has no end."""

    start: Count | None = Field(default=None, alias="from", exclude=True)
    """Only checked: a tier begins where the one before ends."""
    up_to: Count | None = None
    price: Amount


class Price(Table):
    """What calls cost. The price whose `model` and `kind` fit a call most closely holds for it alone."""

    model: Annotated[str, Field(pattern=MODEL_PATTERN)] | None = None
    """None: every model."""
    kind: Kind | None = None
    """None: every kind."""
    per: Per = "call"
    price: Amount | None = None
    package: Count = 1
    """How many calls or units one `price` pays for; a begun package is paid in full."""
    tiering: Literal["graduated", "volume"] | None = None
    tiers: tuple[Tier, ...] = ()
    """Their `up_to` counts packages where there are any."""

    @model_validator(mode="after")
    def _whole(self) -> Price:
        if (self.price is None) == (not self.tiers):
            raise nonsense("price", "either price or tiers was expected")
        if bool(self.tiers) != bool(self.tiering):
            raise nonsense("tiers", 'tiers and tiering ("graduated" or "volume") belong together')
        end: int | None = 0
        for number, tier in enumerate(self.tiers):
            if end is None:
                raise nonsense(
                    "overlap", "tiers overlap: the tier before this one has no up_to", "tiers", number
                )
            if tier.start is not None and tier.start != end + 1:
                which = "overlap" if tier.start <= end else "leave a gap"
                raise nonsense(
                    which, f"tiers {which}: this one was expected from {end + 1}", "tiers", number, "from"
                )
            if tier.up_to is not None and tier.up_to <= end:
                raise nonsense(
                    "overlap", f"tiers overlap: up_to above {end} was expected", "tiers", number, "up_to"
                )
            end = tier.up_to
        if end:
            raise nonsense(
                "gap",
                f"tiers leave a gap: there is no price above {end}; the last tier has no up_to",
                "tiers",
                len(self.tiers) - 1,
                "up_to",
            )
        return self

    @property
    def closeness(self) -> int:
        """How closely it names the calls it is for."""
        return 2 * (self.model is not None) + (self.kind is not None)

    @property
    def by_quantity(self) -> bool:
        """Whether the cost depends on how many calls there are in the month."""
        return self.package > 1 or bool(self.tiers)


class Surcharge(Table):
    """A percentage of what the month's calls cost, plus a fixed part, and no less than a minimum."""

    name: Annotated[str, Field(pattern=ONE_LINE)]
    percent: Percent
    fixed: Amount = Decimal(0)
    minimum: Amount = Decimal(0)


class Discount(Table):
    """Off everything a plan charges in a month: a percentage, or an amount."""

    percent: Percent | None = None
    amount: Amount | None = None

    @model_validator(mode="after")
    def _whole(self) -> Discount:
        if (self.percent is None) == (self.amount is None):
            raise nonsense("discount", "either percent or amount was expected")
        return self


class Tax(Table):
    """A tax line, on what is left after discount and credit."""

    name: Annotated[str, Field(pattern=ONE_LINE)]
    percent: Percent


class Change(Table):
    """Terms that replace those before from an instant on; what is left out stays as it was."""

    effective_from: Instant
    price_per_call: Amount | None = None
    model_prices: dict[str, Amount] | None = None
    prices: tuple[Price, ...] | None = None
    free_calls: CountOrNone | None = None
    free_units: CountOrNone | None = None
    monthly_fee: Amount | None = None
    surcharges: tuple[Surcharge, ...] | None = None
    minimum: Amount | None = None
    discount: Discount | None = None
    prepaid_credit: Amount | None = None
    taxes: tuple[Tax, ...] | None = None

    def replaced(self) -> dict[str, Any]:
        """What it replaces."""
        fields = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {name: value for name, value in fields if value is not None and name != "effective_from"}
