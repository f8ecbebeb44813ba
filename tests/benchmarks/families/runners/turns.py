"""A contestant's side of the benchmark: answer for the comparison, and take turns. Standard library only.

A line "answer" is answered by its scores as JSON; "BATCH CALLS" by the CPU microseconds that one call took.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, repeat
from time import process_time_ns


def serve(runs: Mapping[int, Callable[[], object]], answer: Callable[[], Sequence[Sequence[float]]]) -> None:
    """Take turns until the input ends; `runs` by batch size."""
    for line in sys.stdin:
        if line.strip() == "answer":
            say = json.dumps([[float(score) for score in row] for row in answer()])
        else:
            batch, calls = map(int, line.split())
            run = runs[batch]
            for _ in range(calls // 10):
                run()
            began = process_time_ns()
            for _ in range(calls):
                run()
            say = str((process_time_ns() - began) / calls / 1000)
        sys.stdout.write(say + "\n")
        sys.stdout.flush()


def rotating(run: Callable[..., object], given: Sequence[object], *before: object) -> Callable[[], object]:
    """Call with one after the other, round and round: no call finds its own data still in the cache.

    `before` are arguments that come first, each time the same.

    No Python stands between: it would be charged to who is called, and weigh most on the fastest.
    """
    return map(run, *map(repeat, before), cycle(given)).__next__
