"""PLAN.toml: one plan by itself, with the settings of a [plans.NAME] table of service.toml at the top.

It has to say its `currency`; its `name` is the file's unless it says another.
"""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import ValidationError

from functions.billing.plans import NAME_PATTERN, Plan
from infra.toml_problems import explain, parse


class PlanError(ValueError):
    """The plan can't be used; the message has a line a problem, each with its file and line."""


def load(path: Path) -> Plan:
    """Read and check the file; PlanError says where it is wrong and what was expected."""
    try:
        text, document = parse(path)
    except FileNotFoundError:
        raise PlanError(f"{path} does not exist: name a plan's file with --plan FILE") from None
    except ValueError as error:
        raise PlanError(str(error)) from None
    try:
        return Plan.model_validate({"name": _name(path), **document})
    except ValidationError as error:
        raise PlanError(explain(error.errors(), text, Plan, path)) from None


def _name(path: Path) -> str:
    stem = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:32]
    return stem if re.fullmatch(NAME_PATTERN, stem) else "plan"
