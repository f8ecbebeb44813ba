"""On which line of a TOML text a value stands, which the standard parser does not say.

The parser itself is made to find out: a value starts on the first line by which the text, cut off
there, has it. That holds for every notation TOML has, and a settings file is small.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from typing import Any


def line_of(text: str, keys: Sequence[Any]) -> int:
    """The line, from 1, on which the value under `keys` starts; of the nearest table if it is missing."""
    lines = text.splitlines()
    start = 1
    for end in range(1, len(lines) + 1):
        document = _parse("\n".join(lines[:end]))
        if document is None:  # cut inside a value of several lines
            continue
        if holds(document, keys):
            return start
        start = end + 1
    return line_of(text, keys[:-1]) if keys else 1


def _parse(text: str) -> dict[str, Any] | None:
    """What a text says that may be cut off inside a list, of which it then has the items so far."""
    for ending in ("", "]"):
        try:
            return tomllib.loads(text + ending)
        except tomllib.TOMLDecodeError:
            continue
    return None


def holds(document: Any, keys: Sequence[Any]) -> bool:
    """Whether the document has a value under `keys`; those of list items are their numbers, from 0."""
    for key in keys:
        if isinstance(document, list):
            if not isinstance(key, int) or key >= len(document):
                return False
        elif not isinstance(document, dict) or key not in document:
            return False
        document = document[key]
    return True


def syntax_error(error: tomllib.TOMLDecodeError, text: str) -> tuple[int, str]:
    """The line and the message of what the parser refused."""
    message = str(error)
    position = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", message)
    if position is None:
        return 1, message
    line = int(position[1]) if position[1] else max(1, len(text.splitlines()))
    return line, message[: position.start()]
