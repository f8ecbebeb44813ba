"""Models: each family beside what it was converted from, and beside ONNX Runtime and PyTorch where usual.

A family is one file in `families/` and one entry in FAMILIES; it names cases, whose contestants are
processes of their own that answer the same rows on one thread and take turns. Before anything is timed,
their answers are held against each other: equal labels and scores, or near vectors. Ours is the binding
that serves a call, on tensors as preprocessing leaves them; a source gets its own arrays.
"""

import contextlib
import sys
from importlib import import_module
from statistics import median
from typing import NamedTuple

from tests.benchmarks.families.case import Case
from tests.benchmarks.families.runners.exchange import Contestant, turns
from tests.benchmarks.part import Bench, Part, Table


class Pace(NamedTuple):
    """How often all cases are visited, how many turns each contestant gets then, and their microseconds.

    A neighbour on the host can slow a machine by a half for a second or two, which is a whole case: so its
    visits are minutes apart.
    """

    visits: int
    rounds: int
    turn_us: float


Times = dict[str, list[float]]
QUICK, FULL = Pace(1, 3, 10_000), Pace(3, 7, 40_000)
FAMILIES = {
    "estimators": (
        *("forest_vs_sklearn", "forest_vs_onnxruntime", "svc_vs_sklearn", "linear_vs_sklearn"),
        "batch_vs_source",
    ),
    "lstm": ("lstm_vs_keras",),
    "minilm": ("minilm_vs_torch", "minilm_mb", "minilm_cosine"),
}
FIGURES = tuple(figure for figures in FAMILIES.values() for figure in figures)
# Of these the budget says how many times the peer's time is allowed; of all others how many times faster.
TIMES_OF_PEER = {"forest_vs_onnxruntime"}


def measure(bench: Bench) -> Part:
    """Every case of every family, at one row and in a batch; ratios are medians over rounds."""
    figures: dict[str, float | str] = {}
    tables: tuple[list[tuple[str, ...]], list[tuple[str, ...]]] = ([], [])
    worst: list[float] = []
    cases: list[Case] = []
    for family, names in FAMILIES.items():
        bench.step(f"{family}: making what it needs, if that was not done yet")
        try:
            cases += import_module(f"tests.benchmarks.families.{family}").cases(bench)
        except SystemExit as failure:  # one family must not take the others with it
            reason = str(failure.code).strip()
            figures |= dict.fromkeys(names, reason)
            tables[0].append((family, "not run", reason.splitlines()[0], ""))
    pace = QUICK if bench.quick else FULL
    times: list[dict[int, Times]] = [{batch: {} for batch in case.batches} for case in cases]
    for visit in range(pace.visits):
        for case, found in zip(cases, times, strict=True):
            if not found:  # it has failed
                continue
            bench.step(f"{case.title}, {visit + 1} of {pace.visits}")
            try:
                _compete(case, bench, pace, found)
            except SystemExit as failure:
                reason = str(failure.code).strip()
                figures |= {name: reason for name in case.figures if name}
                tables[0].append((case.title, "failed", reason.splitlines()[0], ""))
                found.clear()
    for case, found in zip(cases, times, strict=True):
        figures |= case.more
        for batch, by_title in found.items():
            _judge(case, batch, by_title, figures, worst, tables[batch > 1])
    if worst:
        figures["batch_vs_source"] = min(worst)
    columns = ("model", "runtime", "a call, CPU µs", "Payphone is faster ×")
    shown = [
        Table("Models, one row a call, one thread", columns, tables[0]),
        Table("Models, a batch a call, one thread", columns, tables[1]),
    ]
    return Part(shown, figures)


def _compete(case: Case, bench: Bench, pace: Pace, found: dict[int, Times]) -> None:
    """One visit: answers are held against each other, then turns are taken."""
    with contextlib.ExitStack() as stack:
        contestants = {
            title: stack.enter_context(Contestant(line, bench.root))
            for title, line in case.contestants.items()
        }
        ours, *others = contestants
        answered = contestants[ours].ask("answer")
        for other in others:
            wrong = case.agree(answered, contestants[other].ask("answer"))
            if wrong:
                sys.exit(f"{case.title}: {other} answers otherwise than {ours}: {wrong}")
        for batch in case.batches:
            for title, figures in turns(contestants, batch, pace.rounds, pace.turn_us).items():
                found[batch].setdefault(title, []).extend(figures)


def _judge(
    case: Case,
    batch: int,
    times: Times,
    figures: dict[str, float | str],
    worst: list[float],
    rows: list[tuple[str, ...]],
) -> None:
    """Medians of all visits' turns, and the ratios of each turn to ours of the same round."""
    ours, *others = times
    name = case.title if batch == 1 else f"{case.title}, {batch} rows"
    rows.append((name, ours, f"{median(times[ours]):,.1f}", ""))
    for number, other in enumerate(others):
        ratio = median(t / mine for t, mine in zip(times[other], times[ours], strict=True))
        rows.append((name, other, f"{median(times[other]):,.1f}", f"{ratio:.2f}"))
        figure = case.figures[number]
        if batch == 1 and figure:
            figures[figure] = 1 / ratio if figure in TIMES_OF_PEER else ratio
        if batch > 1 and not number:
            worst.append(ratio)
