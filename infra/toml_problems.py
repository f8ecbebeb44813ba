"""What is wrong in a TOML file of settings, said by line: what was expected and what came."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from infra.toml_lines import line_of, syntax_error

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


def parse(path: Path) -> tuple[str, dict[str, Any]]:
    """Read a TOML file: its text and what it says, numbers as Decimal. FileNotFoundError, ValueError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} can't be read: {error}") from None
    try:
        return text, tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        line, message = syntax_error(error, text)
        raise ValueError(f"{path}:{line}: this is not TOML: {message}") from None


def explain(errors: Iterable[ErrorDetails], text: str, root: type[BaseModel], path: Path) -> str:
    """All that pydantic found wrong in `text` for a `root`, a line each, in the order of the file."""
    # A list without its one item is named already.
    errors = (e for e in errors if e["type"] != "too_short" or not e["input"])
    found = {_problem(details, text, root) for details in errors}
    return "\n".join(f"{path}:{line}: {message}" for line, message in sorted(found))


def keys_of(details: ErrorDetails) -> list[Any]:
    """Where a problem stands, from the top of the file; an error may say so: `at`, or `under` its table."""
    context = _context(details)
    keys = context.get("at") or (*details["loc"], *context.get("under", ()))
    return [key for key in keys if key != "[key]"]


def _context(details: ErrorDetails) -> dict[str, Any]:
    return details.get("ctx") or {}


def _problem(details: ErrorDetails, text: str, root: type[BaseModel]) -> tuple[int, str]:
    keys = keys_of(details)
    line, came = line_of(text, keys), details["input"]
    table = f"[{_dotted(keys[:-1])}]" if len(keys) > 1 else "the file"
    if details["type"] == "missing":
        return line, f"{table} lacks {keys[-1]}"
    if details["type"] == "extra_forbidden":
        known = _settings(root, keys[:-1])
        if keys[0] == "plans" and len(keys) == 3:
            known.remove("name")
        close = get_close_matches(str(keys[-1]), known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"it takes {', '.join(known)}"
        return line, f"{table} has an unknown setting {keys[-1]}: {hint}"
    template = _EXPECTED.get(details["type"])
    expected = template.format_map(_context(details)) if template else details["msg"]
    shown = "" if isinstance(came, (Mapping, BaseModel)) else f" = {_shown(came)}"
    return line, f"{_dotted(keys) or 'the file'}{shown}: {expected}"


def _dotted(keys: list[Any]) -> str:
    """Keys as TOML has them, list items by their number from 1 in parentheses: plans.pro.prices(2).model."""
    return "".join(f"({key + 1})" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")


def _settings(table: Any, keys: list[Any]) -> list[str]:
    """The settings that the table under `keys` takes."""
    for key in keys:
        if isinstance(table, type) and issubclass(table, BaseModel):
            fields = {field.alias or name: field.annotation for name, field in table.model_fields.items()}
            table = fields[key]
        else:
            table = _inner(table, Mapping if isinstance(key, str) else tuple)
        table = _table(table)
    return [field.alias or name for name, field in table.model_fields.items()]


def _inner(annotation: Any, of: type) -> Any:
    """What a dict[str, T] or tuple[T, ...] holds."""
    arguments = get_args(annotation)
    return arguments[1] if of is Mapping else arguments[0]


def _table(annotation: Any) -> Any:
    """The annotation without Annotated, and without None where that is the other choice."""
    while True:
        arguments = get_args(annotation)
        if hasattr(annotation, "__metadata__"):
            annotation = arguments[0]
        elif type(None) in arguments:
            annotation = next(each for each in arguments if each is not type(None))
        else:
            return annotation


def _shown(value: Any) -> str:
    """A value as it stands in the file, near enough to recognise it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, int) else repr(value)[:60].replace("'", '"')
