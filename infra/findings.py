"""What a check of `payphone doctor` has found."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """What one check found, and what to do if it is not well ("" if it is)."""

    check: str
    found: str
    remedy: str = ""
