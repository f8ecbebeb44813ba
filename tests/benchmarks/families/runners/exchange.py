"""The benchmark's side of the contest: start contestants, have them answer, give them turns."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.benchmarks.cores import one_core
from tests.benchmarks.families.case import ONE_THREAD


class Contestant:
    """A runner in a process of its own, on one thread, on the core of all runners."""

    def __init__(self, line: Sequence[str], root: Path) -> None:
        environment = {**os.environ, **ONE_THREAD, "TF_CPP_MIN_LOG_LEVEL": "3"}
        self._line = line
        with one_core():
            self._process = subprocess.Popen(
                line,
                cwd=root,
                env=environment,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )

    def ask(self, what: str) -> Any:
        """Say a line, give the answer; a contestant that died takes its case with it, and says why."""
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(what + "\n")
            self._process.stdin.flush()
            said = self._process.stdout.readline()
        except BrokenPipeError:
            said = ""
        if not said:
            _, errors = self._process.communicate()
            sys.exit(f"{' '.join(self._line[1:])} failed:\n{errors[-2000:]}")
        return json.loads(said)

    def __enter__(self) -> "Contestant":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()


def answers(line: Sequence[str], root: Path) -> list[list[float]]:
    """What a contestant answers."""
    with Contestant(line, root) as contestant:
        found: list[list[float]] = contestant.ask("answer")
        return found


def turns(
    contestants: Mapping[str, Contestant], batch: int, rounds: int, turn_us: float
) -> dict[str, list[float]]:
    """Microseconds a call of each, one figure a round, each turn about `turn_us` long."""
    calls = {}
    for title, one in contestants.items():
        guess = one.ask(f"{batch} 3")
        calls[title] = max(3, int(turn_us / max(guess, 1)))
    figures: dict[str, list[float]] = {title: [] for title in contestants}
    for _ in range(rounds):
        for title, one in contestants.items():
            figures[title].append(one.ask(f"{batch} {calls[title]}"))
    return figures
