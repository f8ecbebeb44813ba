"""What one wants to know of a model version, as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from infra.cli.console import escape, size_text

if TYPE_CHECKING:
    from models.manifest import Manifest, TensorSpec
    from models.registry import Registry

SHOWN_INPUTS = 8
BROUGHT = "brought"
BYTES = "bytes"


def facts(manifest: Manifest, registry: Registry, *, is_live: bool) -> list[tuple[str, str]]:
    """Name and value of each fact."""
    parity, gate = manifest.parity, manifest.parity.gate
    references = [
        ("Published elsewhere", escape(f"{item['value']} {item['name']} ({item['note']})"))
        for item in manifest.training.get("references", ())
    ]
    forms = _forms(manifest, registry)
    return [
        ("Version", f"{manifest.version}{' (live)' if is_live else ''}"),
        *([("What it does", escape(title))] if (title := manifest.training.get("title")) else []),
        ("Task", manifest.task),
        *([("Labels", ", ".join(map(escape, manifest.labels)))] if manifest.labels else []),
        *(("Takes" if not number else "or", _tensors(form)) for number, form in enumerate(forms)),
        ("Gives", _tensors(manifest.signatures["predict"].outputs)),
        ("Rows a request", f"{manifest.max_instances} at most"),
        ("Family", manifest.family),
        ("Source", ", ".join(f"{key} {value}" for key, value in _made_by(manifest).items())),
        ("Preprocessing", manifest.preprocess.kind),
        *([("Missing values", "null in JSON")] if manifest.preprocess.parameters.get("missing") else []),
        ("Quantization", manifest.quantization),
        ("Size", size_text(manifest.model.size)),
        # Of a brought model nothing is known but that it answers as its source does.
        *([] if manifest.family == BROUGHT else [("Held out", metric(manifest))]),
        *references,
        *(
            [("Training", escape(trained))]
            if (trained := _scalars(manifest.training.get("facts", {})))
            else []
        ),
        (
            "Parity",
            f"{parity.rows:,} rows, label agreement {parity.agreement:.4%}, largest difference "
            f"{parity.max_diff:.2g} (gate: {gate.min_agreement:.2%}, {gate.max_diff:.2g})",
        ),
        ("Licence", escape(manifest.licence)),
        ("SHA-256", manifest.model.sha256),
    ]


def candidates(manifest: Manifest) -> list[tuple[str, ...]]:
    """Each way the model was converted, what its proof gave, and which of them is served."""
    return [
        (
            item["quantization"],
            size_text(item["bytes"]),
            f"{item['rows']:,}",
            f"{item['agreement']:.4%}",
            f"{item['max_diff']:.2g}",
            f"{item.get('microseconds', 0):,.0f} µs",
            "published" if item["chosen"] else "passed" if item["passed"] else "refused",
        )
        for item in manifest.training.get("candidates", ())
    ]


CANDIDATE_COLUMNS = (
    "Converted as",
    ">Size",
    ">Rows compared",
    ">Labels agree",
    ">Largest difference",
    ">A row, CPU",
    "Proof",
)


def metric(manifest: Manifest) -> str:
    """How well the model did on data it had never seen."""
    found = manifest.training["metric"]
    return f"{found['name']} {found['value']:.4f} on {found['rows']:,} rows"


def _forms(manifest: Manifest, registry: Registry) -> Sequence[Sequence[TensorSpec]]:
    """What a caller may give."""
    from functions.preprocess.kinds import make_preprocessor
    from models.manifest import verify

    refs = manifest.preprocess.files
    files = {ref.name: verify(ref, registry.read(manifest, ref.name)) for ref in refs}
    made = make_preprocessor(manifest.preprocess, files, manifest.signatures["predict"])
    return (made.inputs, *getattr(made, "alternatives", ()))


def _scalars(facts: Mapping[str, Any]) -> str:
    """Single numbers by name; longer facts are for --json."""
    numbers = ((key, value) for key, value in facts.items() if isinstance(value, int | float))
    return ", ".join(f"{key.replace('_', ' ')} {value:.6g}" for key, value in numbers)


def _tensors(specs: Sequence[TensorSpec]) -> str:
    shown = [
        f"{spec.name}, a file in base64"
        if spec.dtype == BYTES
        else f"{spec.name} {spec.dtype} \\[{_shape(spec)}]"
        for spec in specs[:SHOWN_INPUTS]
    ]
    more = len(specs) - len(shown)
    return ", ".join([*shown, f"and {more} more"] if more else shown)


def _shape(spec: TensorSpec) -> str:
    return ", ".join("any" if size < 0 else str(size) for size in spec.shape)


def _made_by(manifest: Manifest) -> dict[str, str]:
    """The framework's own version stands beside it already, where it has one."""
    return {
        key: value
        for key, value in manifest.source.items()
        if key != "framework" or value not in manifest.source
    }
