"""From the plans of service.toml to the plans in force."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from functions.access.keys import Plan as Limits
from functions.billing.holds import compile_holds
from functions.billing.plans import Plan
from infra.service import Settings

if TYPE_CHECKING:
    from infra.place import Place


class PlanConflict(ValueError):
    """A plan was edited in a way that its customers' invoices can't follow."""


def publish_plans(settings: Settings, place: Place) -> dict[str, Limits]:
    """Publish the plans of service.toml and put them in force, for keys that were issued before too.

    Gives by name the limits that access now holds calls to. Doing it again changes nothing. A plan
    that was removed from the file stays in force for the keys that are on it. PlanConflict if a
    plan's currency was changed, or whether it is prepaid: that takes a plan of another name.
    """
    book = place.plan_book()
    with closing(place.keys()) as keys:
        in_force = {limits.name: limits for limits in keys.plans()}
        for name, plan in settings.plans.items():
            if name not in in_force:
                continue
            former = book.get(in_force[name].version)
            if former.currency != plan.currency:
                raise PlanConflict(
                    f"plan {name} charges in {former.currency} and can't change to {plan.currency}: "
                    f"give the plan in {plan.currency} another name"
                )
            if former.prepaid != plan.prepaid:
                kinds = ["paid by invoice", "prepaid"]
                raise PlanConflict(
                    f"plan {name} is {kinds[former.prepaid]} and can't become {kinds[plan.prepaid]}: "
                    "give that plan another name, and its customers a key on it"
                )
        limits = {name: limits_of(plan) for name, plan in settings.plans.items()}
        for name, plan in settings.plans.items():
            book.publish(plan)
            if in_force.get(name) != limits[name]:
                keys.set_plan(limits[name])
            book.enforce(limits[name].version, time.time_ns() // 1_000_000)
    return limits


def limits_of(plan: Plan) -> Limits:
    """What access needs to know of a plan; 0 is its way to say that there is no limit."""
    quota = 0 if plan.hard_limits else plan.quota or 0
    return Limits(
        plan.name, plan.version, float(plan.rate or 0), plan.burst or 0, quota, *compile_holds(plan)
    )
