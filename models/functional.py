"""`functools`' C half without the Python around it: a cold start would pay 3 ms for that.

The module drags in `collections`, `types` and more; a type checker sees it all the same. What is
remembered is not asked for its statistics here, and says no name of its own.
"""

from __future__ import annotations

from models.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from functools import cache, lru_cache, partial
else:
    from _functools import _lru_cache_wrapper, partial

    def lru_cache(maxsize):
        """Remember the answers to the last `maxsize` questions."""
        return lambda function: _lru_cache_wrapper(function, maxsize, False, tuple)

    def cache(function):
        """Remember every answer."""
        return _lru_cache_wrapper(function, None, False, tuple)


__all__ = ["cache", "lru_cache", "partial"]
