"""The one core on which all that is measured runs, so that contestants have the same neighbours.

Each core of a virtual machine shares its real one with somebody else's, now busy, now idle: a contestant
on another core than its peer was a half slower for seconds, and the ratio was the neighbour's.
"""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Processes started inside stay on the first of the cores that we may use, with all their threads."""
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(ours)})  # of this thread alone, and children have it from their parent
    try:
        yield
    finally:
        os.sched_setaffinity(0, ours)
