"""service.toml as typed, validated settings; what is wrong in it is named by file and line.

All problems are reported at once, so that one edit mends them. Amounts are read as Decimal and
never pass through a binary float.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from functions.billing.plans import NAME_PATTERN, Currency, Plan
from infra.service_aws import Aws, ModelName, ModelOnAws, misplaced
from infra.toml_lines import holds, line_of, syntax_error

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
            for model in sorted(plan.model_prices.keys() - set(self.models.serve)):
                expected = f"a model that is served was expected ({served})"
                raise misplaced(expected, "plans", name, "model_prices", model)
        for model in sorted(self.aws.models.keys() - set(self.models.serve)):
            raise misplaced(f"a model that is served was expected ({served})", "aws", "models", model)
        return self


def load(path: Path = DEFAULT_PATH) -> Settings:
    """Read and check the file; SettingsError says where it is wrong and what was expected."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingsError(
            f"{path} does not exist: name the service's settings with --service FILE"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} can't be read: {error}") from None
    try:
        document = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        line, message = syntax_error(error, text)
        raise SettingsError(f"{path}:{line}: this is not TOML: {message}") from None
    try:
        return Settings.model_validate(_with_names(document))
    except ValidationError as error:
        found = [_problem(details, text) for details in error.errors() if not _is_echo(details, document)]
        raise SettingsError(
            "\n".join(f"{path}:{line}: {message}" for line, message in sorted(found))
        ) from None


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


_TABLES: dict[str, type[BaseModel]] = {
    "": Settings,
    "service": Service,
    "models": Models,
    "aws": Aws,
    "aws.models": ModelOnAws,
    "plans": Plan,
}

# pydantic's own words, where they are not an operator's.
_EXPECTED = {
    "string_pattern_mismatch": "lower-case letters, digits and hyphens were expected, a letter first",
    "model_type": "a table was expected",
    "dict_type": "a table was expected",
    "tuple_type": "a list was expected",
    "too_short": "at least one entry was expected",
    "bool_type": "true or false was expected",
    "literal_error": "{expected} was expected",
    "string_type": "a text in quotes was expected",
    "string_too_short": "a text was expected",
    "decimal_parsing": "a number was expected",
    "finite_number": "a number was expected",
    "int_type": "a whole number was expected",
    "greater_than_equal": "at least {ge} was expected",
    "greater_than": "more than {gt} was expected",
    "less_than": "less than {lt} was expected",
    "less_than_equal": "at most {le} was expected",
    "decimal_max_places": "at most {decimal_places} decimals were expected",
}


def _context(details: ErrorDetails) -> dict[str, Any]:
    return details.get("ctx") or {}


def _keys(details: ErrorDetails) -> list[Any]:
    return [key for key in _context(details).get("at", details["loc"]) if key != "[key]"]


def _is_echo(details: ErrorDetails, document: dict[str, Any]) -> bool:
    """Whether it only repeats another: of a list's one item, or of the name or currency a plan was given."""
    keys = _keys(details)
    if details["type"] == "too_short" and details["input"]:
        return True
    return keys[:1] == ["plans"] and keys[2:] in (["name"], ["currency"]) and not holds(document, keys)


def _problem(details: ErrorDetails, text: str) -> tuple[int, str]:
    """One problem: its line, and a sentence with what was expected and what came."""
    keys = _keys(details)
    line, came = line_of(text, keys), details["input"]
    table = f"[{'.'.join(map(str, keys[:-1]))}]" if len(keys) > 1 else "the file"
    if details["type"] == "missing":
        return line, f"{table} lacks {keys[-1]}"
    if details["type"] == "extra_forbidden":
        named = ".".join(keys[:2]) if keys[:2] == ["aws", "models"] else keys[0]
        known = list(_TABLES[named if len(keys) > 1 else ""].model_fields)
        if keys[0] == "plans":
            known.remove("name")
        close = get_close_matches(str(keys[-1]), known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"it takes {', '.join(known)}"
        return line, f"{table} has an unknown setting {keys[-1]}: {hint}"
    template = _EXPECTED.get(details["type"])
    expected = template.format_map(_context(details)) if template else details["msg"]
    shown = "" if isinstance(came, (Mapping, BaseModel)) else f" = {_shown(came)}"
    return line, f"{'.'.join(map(str, keys))}{shown}: {expected}"


def _shown(value: Any) -> str:
    """A value as it stands in the file, near enough to recognise it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value) if isinstance(value, int) else repr(value)[:60].replace("'", '"')
