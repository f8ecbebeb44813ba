"""What the operator is told that no caller may hear; never what a caller sent.

`logging` is 6 ms of a cold start, so it is imported when something has gone wrong.
"""

from __future__ import annotations

from functions.frames import frames_of


def critical(message: str, *values: object) -> None:
    """Something that somebody should look at, as `logging` formats it."""
    from logging import getLogger

    getLogger("payphone.calls").critical(message, *values)


def failure(error: Exception) -> None:
    """Where an error came from, without its message, which may hold the caller's data."""
    from logging import getLogger

    getLogger("payphone.calls").error("%s at %s", type(error).__name__, ", ".join(frames_of(error)))
