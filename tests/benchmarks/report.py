"""The report: docs/benchmarks.md, from what was measured and what each part says of its method.

It names versions and kinds, never a place or a machine of its own.
"""

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import distributions
from inspect import getdoc
from pathlib import Path
from types import ModuleType

from tests.benchmarks.budget import Verdict
from tests.benchmarks.installed import name_of, site_packages
from tests.benchmarks.part import Part, Table

NAMED = {
    *("ai-edge-litert", "aws-lambda-powertools", "awslambdaric", "bentoml", "boto3", "fastapi", "httptools"),
    *("keras", "litserve", "mangum", "mlserver", "numpy", "onnxruntime", "pydantic", "scikit-learn"),
    *("skl2onnx", "tensorflow", "tensorflow-cpu", "torch", "uvicorn", "uvloop"),
}
LIMITS = """\
- Nothing here ran on AWS or on an ARM processor. Lambda gives a function of less than 1,769 MB a part of
  a core, so its cold starts take longer than their CPU time; the ratios stay.
- The machine is shared and virtual: trust the ratios, not the times. Functions, models and the invoice run
  take their turns on one core, so that a busy neighbour of a core is a neighbour to both sides of a ratio.
- The usual handler counts calls in one item a key and month. Payphone writes one row a call, which can be
  audited and replayed safely and costs the same write unit; that is what is compared. Neither traces.
- Lambda functions run on the CPython above, whatever runtime the client is told it is in.
- The peers among the servers check no key and record nothing. The model is tiny on purpose: with a large
  one every server costs what the model costs.
- `wrk` runs beside the server it loads, so requests a second and latencies hold for a busy machine.
"""


def write(
    path: Path,
    parts: dict[str, tuple[ModuleType, Part | str]],
    verdicts: list[Verdict],
    environments: dict[str, Path],
    loads: tuple[float, float],
) -> None:
    """Write the whole report; a part that was not run has its reason in place of tables."""
    now = datetime.now(UTC)
    lines = [
        "# Benchmarks",
        "",
        f"Written by `make bench` on {now:%Y-%m-%d}: {os.cpu_count()} cores ({platform.machine()}), "
        f"{platform.system()}, CPython {platform.python_version()}. The load average was {loads[0]:.1f} "
        f"when it began and {loads[1]:.1f} when it ended. All times are CPU time unless they say "
        "otherwise; figures are medians of rounds in which the contestants take turns.",
        "",
        "## Budgets",
        "",
        *markdown(budget_table(verdicts)),
    ]
    for module, part in parts.values():
        doc = getdoc(module) or ""
        title, _, method = doc.partition("\n\n")
        lines += ["", f"## {title.rstrip('.')}", "", method, ""]
        if isinstance(part, str):
            lines += [f"Not run: {part}."]
            continue
        for table in part.tables:
            lines += [f"**{table.title}**", "", *markdown(table), ""]
    lines += ["", "## Versions", "", *_versions(environments), "", "## Limits", "", LIMITS]
    path.parent.mkdir(exist_ok=True)
    text = "\n".join(lines)
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    path.write_text(text.rstrip() + "\n", encoding="utf-8")


def budget_table(verdicts: list[Verdict]) -> Table:
    """Each budget, its value and by how much it was met or missed."""
    rows = []
    for budget, value, met, reason in verdicts:
        limit = f"{'≤' if budget.at_most else '≥'} {budget.limit:,}"
        if value is None:
            rows.append((budget.what, limit, "–", reason))
            continue
        share = value / budget.limit - 1
        side = "over" if share > 0 else "under"
        rows.append(
            (budget.what, limit, f"{value:,.2f}", f"{'met' if met else 'MISSED'}, {abs(share):.0%} {side}")
        )
    return Table("Budgets", ("what", "limit ×", "measured ×", ""), rows)


def markdown(table: Table) -> list[str]:
    """A table's lines."""
    rows = [table.columns, tuple("---" for _ in table.columns), *table.rows]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]


def _versions(environments: dict[str, Path]) -> list[str]:
    lines = []
    for name, python in {"Payphone's own": Path(sys.executable), **environments}.items():
        found = {name_of(one): one.version for one in distributions(path=[site_packages(python)])}
        named = (f"{package} {version}" for package, version in sorted(found.items()) if package in NAMED)
        lines.append(f"- {name}: {', '.join(named)}")
    return lines
