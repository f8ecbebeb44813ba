"""What came of the catalog: a line of figures for each model, and the page that shows them all.

A line has name, family, metric, value, reference, rows, agreement, max_diff, bytes, quantization, p50_us and
source_p50_us. `reference` is the first published figure that the entry names, None where it names none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infra.catalog.timing import Timing
from infra.pipeline import Built
from models.catalog.entries import Entry

PAGE = """\
# The catalog

<!-- Written by `make catalog`; edits are lost. -->

Every model here was trained, converted, proven and published by one run of `make catalog`. *Held out* is the
trained model's figure on rows that training never saw. *Rows*, *agree* and *largest difference* are those of
the proof: how many held-out rows were answered by the source framework and by the code that serves, how many
of them alike, and how far apart the worst scores were. Times are medians in µs for one instance, its
preprocessing included, by the serving code and by one compiled call of the source framework, measured model
after model on one machine: compare them within a row.

{table}

{entries}
"""
CALL = """\
```
curl -s http://127.0.0.1:8080/v1/models/{name}/predict -H "x-api-key: $PAYPHONE_KEY" \\
     -H 'content-type: application/json' -d {body}
```"""


def figures(built: Built, timing: Timing) -> dict[str, Any]:
    """One model's line."""
    manifest = built.manifest
    metric, parity = manifest.training["metric"], manifest.parity
    references = [item["value"] for item in manifest.training["references"]]
    return {
        "name": manifest.name,
        "family": manifest.family,
        "metric": metric["name"],
        "value": metric["value"],
        "reference": references[0] if references else None,
        "rows": parity.rows,
        "agreement": parity.agreement,
        "max_diff": parity.max_diff,
        "bytes": manifest.model.size,
        "quantization": manifest.quantization,
        "p50_us": round(timing.served * 1e6, 1),
        "source_p50_us": round(timing.source * 1e6, 1),
    }


def page(lines: Sequence[Mapping[str, Any]], built: Mapping[str, Built], entries: Mapping[str, Entry]) -> str:
    """The report as Markdown: one table, then a paragraph on each model and how to call it."""
    return PAGE.format(
        table=_markdown(COLUMNS, [cells(line) for line in lines]),
        entries="\n\n".join(_entry(entries[line["name"]], built[line["name"]]) for line in lines),
    )


COLUMNS = (
    *("Model", "Family", "Held out", ">Value", ">Reference", ">Rows", ">Agree", ">Largest difference"),
    *(">Size", "Quantization", ">µs", ">Source, µs", ">Times"),
)


def cells(line: Mapping[str, Any]) -> tuple[str, ...]:
    """A line as texts, under COLUMNS."""
    reference = line["reference"]
    return (
        line["name"],
        line["family"],
        line["metric"],
        f"{line['value']:.4f}",
        "" if reference is None else f"{reference:g}",
        f"{line['rows']:,}",
        f"{line['agreement']:.3%}",
        f"{line['max_diff']:.2g}",
        _size(line["bytes"]),
        line["quantization"],
        f"{line['p50_us']:,.1f}",
        f"{line['source_p50_us']:,.0f}",
        f"{line['source_p50_us'] / line['p50_us']:,.0f}×",
    )


def remark(entry: Entry, built: Built) -> str:
    """The entry's remark with the facts of its training in it."""
    training = built.manifest.training
    return entry.remark.format_map({**training["facts"], "references": training["references"]})


def _entry(entry: Entry, built: Built) -> str:
    references = [f"{item.value:g}: {item.name} ({item.note})" for item in entry.references]
    data = sorted({source.title for source in entry.data.values()}) or ["scikit-learn's own copy"]
    parts = [
        f"## {entry.name}",
        f"{entry.title}. Data: {', '.join(data)}. Licence: {entry.licence}.",
        remark(entry, built),
        "\n".join(f"- {text}" for text in references),
        CALL.format(name=entry.name, body=entry.call),
    ]
    return "\n\n".join(filter(None, parts))


def _size(size: int) -> str:
    return f"{size / 1e6:.2f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = [name.lstrip(">") for name in columns]
    rule = ["---:" if name.startswith(">") else "---" for name in columns]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))
