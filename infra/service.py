"""service.toml as typed, validated settings; what is wrong in it is named by file and line.

All problems are reported at once, so that one edit mends them. Amounts are read as Decimal and
never pass through a binary float.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from functions.billing.amounts import Currency
from functions.billing.plans import NAME_PATTERN, Plan
from functions.billing.terms import KINDS
from infra.service_aws import Aws, ModelName, misplaced
from infra.toml_lines import holds
from infra.toml_problems import explain, keys_of, parse

DEFAULT_PATH = Path(__file__).parent / "service.toml"

PlanName = Annotated[str, Field(pattern=NAME_PATTERN)]


class SettingsError(ValueError):
    """service.toml can't be used; the message has a line a problem, each with its file and line."""


class Service(BaseModel):
    """The [service] table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=64)]
    currency: Currency


class Models(BaseModel):
    """The [models] table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    serve: Annotated[tuple[ModelName, ...], Field(min_length=1)]


class Settings(BaseModel):
    """All of service.toml. `plans` are by name, each in the service's currency unless it has its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    service: Service
    models: Models
    aws: Aws = Aws()
    plans: Annotated[dict[PlanName, Plan], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        served = ", ".join(self.models.serve)
        for name, plan in self.plans.items():
            if plan.name != name:
                raise misplaced("a plan is named by its table alone", "plans", name, "name")
            for model, where in plan.priced_models():
                if model not in self.models.serve:
                    raise misplaced(f"a model that is served was expected ({served})", "plans", name, *where)
            for model, kind in product(self.models.serve, KINDS):
                if not all(terms.prices_of(model, kind) for _, terms in plan.schedule()):
                    said = f"a price for {kind} calls of {model} was expected: give it price_per_call"
                    raise misplaced(said, "plans", name)
        for model in sorted(self.aws.models.keys() - set(self.models.serve)):
            raise misplaced(f"a model that is served was expected ({served})", "aws", "models", model)
        return self


def load(path: Path = DEFAULT_PATH) -> Settings:
    """Read and check the file; SettingsError says where it is wrong and what was expected."""
    try:
        text, document = parse(path)
    except FileNotFoundError:
        raise SettingsError(
            f"{path} does not exist: name the service's settings with --service FILE"
        ) from None
    except ValueError as error:
        raise SettingsError(str(error)) from None
    try:
        return Settings.model_validate(_with_names(document))
    except ValidationError as error:
        errors = [details for details in error.errors() if not _is_echo(details, document)]
        raise SettingsError(explain(errors, text, Settings, path)) from None


def _with_names(document: dict[str, Any]) -> dict[str, Any]:
    """Give every plan table its name and its currency, which stand elsewhere in the file."""
    plans, service = document.get("plans"), document.get("service")
    if not isinstance(plans, Mapping):
        return document
    currency = service.get("currency") if isinstance(service, Mapping) else None
    common = {} if currency is None else {"currency": currency}
    named = {
        name: {"name": name, **common, **table} if isinstance(table, Mapping) else table
        for name, table in plans.items()
    }
    return {**document, "plans": named}


def _is_echo(details: ErrorDetails, document: dict[str, Any]) -> bool:
    """Whether it only repeats another: of the name or currency a plan was given."""
    keys = keys_of(details)
    return keys[:1] == ["plans"] and keys[2:] in (["name"], ["currency"]) and not holds(document, keys)
