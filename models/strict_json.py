"""JSON by CPython's own C parser and writer, without the package around them: 4 ms of a cold start.

Strict both ways: NaN and Infinity are no JSON. What is written is ASCII, without spaces.
"""

from __future__ import annotations

from _json import encode_basestring_ascii as quoted
from _json import make_encoder, make_scanner

from models.typed import Any

_BLANKS = " \t\n\r"


def loads(text: str | bytes) -> Any:
    """Parse JSON, bytes being UTF-8; ValueError says what is wrong and where, RecursionError: too deep."""
    if isinstance(text, bytes):
        text = text.decode()
    try:
        document, end = _scan(text, 0)
    except (StopIteration, SystemError):  # the second where it can't find the package's error to raise
        return _slowly(text)
    return _slowly(text) if text[end:].strip(_BLANKS) else document


def dumps(document: Any) -> str:
    """Write JSON; ValueError for NaN and Infinity. `document` must not hold itself."""
    return "".join(_pieces(document, 0))


def _slowly(text: str) -> Any:
    """What begins with a blank, or is no JSON: rare, so the package is imported for it after all."""
    from json import JSONDecoder

    return JSONDecoder(parse_constant=_refuse_constant).decode(text)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _refuse(value: object) -> Any:
    raise TypeError(f"a {type(value).__name__} can't be written as JSON")


class _Rules:
    """What the parser asks for; the C code reads these by name."""

    strict = True  # no control characters in texts
    object_hook = object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_refuse_constant)


_scan = make_scanner(_Rules)  # type: ignore[arg-type]  # by its stub it takes another scanner
# Made once: JSONEncoder makes it anew for each document, half of what it costs.
_pieces = make_encoder(None, _refuse, quoted, None, ":", ",", False, False, False)

__all__ = ["dumps", "loads", "quoted"]
