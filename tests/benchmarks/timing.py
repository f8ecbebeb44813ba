"""CPU time of functions in this process, in turn, round after round."""

from collections.abc import Callable, Mapping
from time import process_time_ns


def interleaved(
    contestants: Mapping[str, Callable[[], object]], rounds: int, calls: int
) -> dict[str, list[float]]:
    """Microseconds a call of each, one figure a round; a tenth of a round goes before it, uncounted."""
    figures: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            for _ in range(calls // 10):
                run()
            began = process_time_ns()
            for _ in range(calls):
                run()
            figures[name].append((process_time_ns() - began) / calls / 1000)
    return figures
