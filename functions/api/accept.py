"""Which form of a thing a client asks for: the Accept header (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence

from functions.calls.problems import Problem


def chosen_type(accept: str | None, offered: Sequence[str]) -> str:
    """The one of `offered` that a client likes best, the first of several; Problem if it takes none."""
    liked = {kind: _quality(accept or "*/*", kind) for kind in offered}
    best = max(offered, key=liked.__getitem__)
    if not liked[best]:
        raise Problem("not-acceptable", f"Accept should name one of {', '.join(offered)}.")
    return best


def _quality(accept: str, kind: str) -> float:
    """How much a client likes a media type, from 0 to 1, by the most specific range that fits it."""
    fitting = (kind, f"{kind.partition('/')[0]}/*", "*/*")
    found = (len(fitting), 0.0)
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if name in fitting:
            quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
            try:
                found = min(found, (fitting.index(name), min(max(float(quality), 0.0), 1.0)))
            except ValueError:
                continue
    return found[1]
