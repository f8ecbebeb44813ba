"""`make bench`: measure, print tables, write docs/benchmarks.md, and end with one line of JSON.

    python -m tests.benchmarks.run [--quick] [--only PART …]

The exit code is 1 if a budget is missed. Peers are installed once, from their hash-pinned locks, into
environments of their own below PAYPHONE_CACHE (default .payphone/cache). A quick run or one of some
parts prints what it found and leaves the report alone.
"""

import argparse
import json
import os
import shutil
import sys
import traceback
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table as Shown

from infra.workspace import Workspace
from tests.benchmarks import (
    billing_part,
    iris,
    lambda_part,
    layers_part,
    models_part,
    report,
    servers_part,
    steady_part,
)
from tests.benchmarks.budget import FIGURES, LINE, judge
from tests.benchmarks.part import ROOT, Bench, Part, Skipped, Table
from tests.cloud.emulator.provision import cache_folder, environment

PARTS: dict[str, ModuleType] = {
    "layers": layers_part,
    "models": models_part,
    "lambda": lambda_part,
    "steady": steady_part,
    "servers": servers_part,
    "billing": billing_part,
}
REPORT = ROOT / "docs" / "benchmarks.md"


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that it works")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    chosen = parser.parse_args()
    console = Console(stderr=True)
    cache = cache_folder()
    folder = cache / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    environments: dict[str, Path] = {}
    began = os.getloadavg()[0]
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("starting", total=len(chosen.only))

        def step(text: str) -> None:
            progress.update(task, description=f"[bold]{current}[/]  {text}")

        def installed(lock: str) -> Path:
            if lock not in environments:
                step(f"installing {lock} from its lock, if that was not done yet")
                environments[lock] = environment(cache, lock)
            return environments[lock]

        def workspace() -> Workspace:
            place = folder / "state"
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(folder / iris.NAME, place)
            return Workspace(place)

        current = iris.NAME
        step("training it, if that was not done yet")
        registry = iris.workspace(folder / iris.NAME, ROOT)
        model = registry.models / iris.NAME / "1" / "model.tflite"
        bench = Bench(folder, ROOT, chosen.quick, step, installed, model, workspace)
        results: dict[str, tuple[ModuleType, Part | str]] = {}
        for current in chosen.only:
            results[current] = (PARTS[current], _measure(PARTS[current], bench))
            progress.advance(task)
    figures = _figures(results)
    verdicts = judge(figures)
    _show(results, report.budget_table(verdicts))
    if not chosen.quick and chosen.only == list(PARTS):
        report.write(REPORT, results, verdicts, environments, (began, os.getloadavg()[0]))
        console.print(f"Written: {REPORT.relative_to(ROOT)}")
    values = {name: None if isinstance(value, str) else round(value, 3) for name, value in figures.items()}
    reasons = {name: value for name, value in figures.items() if isinstance(value, str)}
    line: dict[str, object] = {name: values.pop(name) for name in LINE}
    sys.stdout.write(json.dumps({**line, "more": values, "reasons": reasons}) + "\n")
    return int(any(verdict.met is False for verdict in verdicts))


def _measure(module: ModuleType, bench: Bench) -> Part | str:
    """One part, or why it could not be run: one that fails must not take the others with it."""
    try:
        part: Part = module.measure(bench)
    except Skipped as reason:
        return str(reason)
    except SystemExit as failure:
        return str(failure.code).strip()
    except Exception as failure:
        traceback.print_exc()
        return f"it failed: {type(failure).__name__}: {str(failure)[:300]}"
    return part


def _figures(results: dict[str, tuple[ModuleType, Part | str]]) -> dict[str, float | str]:
    """Every figure of the last line: a number, or the reason why there is none."""
    figures: dict[str, float | str] = dict.fromkeys(FIGURES, "its part was not asked for")
    for module, part in results.values():
        figures |= dict.fromkeys(module.FIGURES, part) if isinstance(part, str) else part.figures
    return figures


def _show(results: dict[str, tuple[ModuleType, Part | str]], budgets: Table) -> None:
    console = Console()
    for name, (_, part) in results.items():
        if isinstance(part, str):
            console.print(f"[bold]{name}[/] was not run: {part}")
        for table in [] if isinstance(part, str) else part.tables:
            console.print(_shown(table))
    console.print(_shown(budgets))


def _shown(table: Table) -> Shown:
    shown = Shown(title=table.title, title_justify="left")
    for number, column in enumerate(table.columns):
        shown.add_column(column, justify="right" if number and table.title != "Budgets" else "left")
    for row in table.rows:
        shown.add_row(*row)
    return shown


if __name__ == "__main__":
    sys.exit(main())
