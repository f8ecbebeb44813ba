"""What the operator is told that no caller may hear; never what a caller sent.

`logging` is 6 ms of a cold start, so it is imported when something has gone wrong.
"""

from __future__ import annotations

import os

from functions.frames import frames_of
from models.strict_json import dumps


def critical(message: str) -> None:
    """Something that somebody should look at."""
    _say("CRITICAL", message)


def failure(error: Exception) -> None:
    """Where an error came from, without its message, which may hold the caller's data."""
    _say("ERROR", f"{type(error).__name__} at {', '.join(frames_of(error))}")


def _say(level: str, message: str) -> None:
    """Through `logging` where somebody has set that up, else as a line whose level CloudWatch understands."""
    import logging

    logger = logging.getLogger("payphone.calls")
    if logger.hasHandlers():
        logger.log(logging.getLevelName(level), message)
    else:
        os.write(2, f"{dumps({'level': level, 'message': message})}\n".encode())
