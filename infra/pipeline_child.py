"""The child process of the pipeline: everything that needs TensorFlow, for one model.

    python -m infra.pipeline_child '{"name": …, "folder": …, …}'

It reports on standard output, one Progress as JSON a line, and nothing else gets there: what the
frameworks print goes to standard error, which the parent keeps in a log. A last line of the step
"failed" says why there is no artifact.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

from functions.inference.engine import ModelLoadError
from infra.pace import paces
from infra.progress import Progress, to_line, under_way
from infra.proof import prove
from models.catalog.entries import Entry, load_entry
from models.convert import tflite
from models.convert.kinds import source
from models.manifest import (
    MANIFEST_FILE,
    MODEL_FILE,
    Manifest,
    Parity,
    Preprocess,
    describe_file,
)
from models.parity import ParityError
from models.quantize import QUANTIZATIONS, Candidate, choose, outcomes
from models.trained import Figures, Tell, Trained

TRAINED_FILE = "trained.json"
EXAMPLES = 100
EXPECTED = (tflite.ConversionError, ParityError, ModelLoadError)


class Work:
    """One run over one model's work folder."""

    def __init__(self, order: dict[str, Any], report: Callable[[Progress], None]) -> None:
        """Take the order that the parent sent."""
        self.entry: Entry = load_entry(order["name"])
        self.folder = Path(order["folder"])
        self.seconds: dict[str, float] = {}
        self._measured: dict[str, dict[str, float]] = {}
        self._order = order
        self._report = report

    def run(self) -> None:
        """Leave examples.json, candidates/ and artifact/ in the folder, or raise what forbids it."""
        for leftover in self.folder.glob(".new-*"):  # of a run that was killed
            shutil.rmtree(leftover)
        figures = self._train()
        trained = self.entry.trainer().load(self.entry, self.folder / "trained")
        self._write_examples(trained)
        drafts = self._convert(trained)
        candidates = self._prove(trained, drafts)
        chosen = self._choose(candidates)
        self._write_artifact(trained, figures, candidates, chosen, drafts[0][0])

    def _train(self) -> Figures:
        """Train if the order has data for it; else there is a trained model that is still valid."""
        if "data" not in self._order:
            record = json.loads((self.folder / "trained" / TRAINED_FILE).read_text("utf-8"))
            figures = Figures(**record["figures"])
            self.seconds["train"] = record["seconds"]
            self._finish("train", "The trained model is still valid", figures._asdict())
            return figures
        tell = self._tell("train")
        data = {name: Path(path) for name, path in self._order["data"].items()}
        with self._replacing("trained") as folder:
            with self._timed("train"):
                figures = self.entry.trainer().train(self.entry, data, folder, tell)
            record = {
                "recipe": self._order["training_recipe"],
                "figures": figures._asdict(),
                "seconds": round(self.seconds["train"], 2),
            }
            (folder / TRAINED_FILE).write_text(json.dumps(record, indent=2), "utf-8")
        message = f"Trained: {figures.metric} {figures.value:.4f} on {figures.rows:,} held-out rows"
        self._finish("train", message, figures._asdict())
        return figures

    def _convert(self, trained: Trained) -> list[tuple[Manifest, bytes]]:
        """Each candidate's bytes, and a manifest that the engine can load it by."""
        tell, kinds = self._tell("convert"), list(self.entry.gates)
        drafts = []
        with (
            self._timed("convert"),
            TemporaryDirectory() as temporary,
            self._replacing("candidates") as folder,
        ):
            tell("Tracing the model", 0, len(kinds))
            saved = Path(temporary)
            origin = source(self.entry.source)
            graph = origin.graph(trained.source)
            tflite.save(graph, saved)
            for number, quantization in enumerate(kinds):
                tell(f"Writing {quantization}", number, len(kinds))
                quantize = partial(QUANTIZATIONS[quantization], calibration=trained.calibration)
                data = tflite.write(graph, saved, quantize)
                (folder / f"{quantization}.tflite").write_bytes(data)
                drafts.append((self._draft(trained, quantization, data, origin.versions()), data))
        sizes = {manifest.quantization: manifest.model.size for manifest, _ in drafts}
        self._finish("convert", "Converted to LiteRT with builtin ops only", {"bytes": sizes})
        return drafts

    def _draft(self, trained: Trained, quantization: str, data: bytes, versions: dict[str, str]) -> Manifest:
        encoding = trained.encoding
        files = tuple(describe_file(name, content) for name, content in sorted(encoding.files.items()))
        return Manifest(
            name=self.entry.name,
            version="",
            family=self.entry.family,
            task=self.entry.task,
            signatures=tflite.signatures(data),
            preprocess=Preprocess(encoding.kind, encoding.parameters, files),
            labels=self.entry.labels,
            max_instances=self.entry.max_instances,
            source=versions,
            quantization=quantization,
            parity=Parity(0, 0.0, 0.0, self.entry.gates[quantization]),
            training={},
            licence=self.entry.licence,
            model=describe_file(MODEL_FILE, data),
            recipe=self._order["recipe"],
        )

    def _prove(self, trained: Trained, drafts: list[tuple[Manifest, bytes]]) -> list[Candidate]:
        """Let the serving code answer every held-out row with each candidate, and compare."""
        rows, tell, candidates = len(trained.held_out), self._tell("prove"), []
        with self._timed("prove"):
            tell(f"{self.entry.source} answers {rows:,} held-out rows", 0, 0)
            expected = trained.answer(trained.held_out)  # the same for every candidate
            known = trained._replace(answer=lambda values: expected)
            for number, (draft, data) in enumerate(drafts):
                message = f"{draft.quantization} answers {rows:,} held-out rows"
                on_row = partial(_count, tell, message, number * rows, len(drafts) * rows)
                files = {**trained.encoding.files, MODEL_FILE: data}
                proof = prove(draft, files, known, on_row)
                self._measured[draft.quantization] = proof.measured
                candidates.append(Candidate(draft.quantization, data, proof.parity, proof.disagreed))
            tell("Timing the candidates side by side", 0, 0)
            files = trained.encoding.files
            speeds = paces(
                {draft.quantization: (draft, {**files, MODEL_FILE: data}) for draft, data in drafts},
                trained.held_out[0],
            )
        return [item._replace(microseconds=speeds[item.quantization]) for item in candidates]

    def _choose(self, candidates: list[Candidate]) -> Candidate:
        chosen = choose(candidates, self._order["quantization"])
        parity = chosen.parity
        message = (
            f"{chosen.quantization} answers as the source does: {parity.agreement:.2%} equal labels on "
            f"{parity.rows:,} rows, largest difference {parity.max_diff:.2g}"
        )
        self._finish("prove", message, {"candidates": outcomes(candidates, chosen)})
        return chosen

    def _write_examples(self, trained: Trained) -> None:
        labels = [self.entry.labels[label] for label in trained.labels] or [""] * len(trained.held_out)
        pairs = list(zip(trained.held_out, labels, strict=True))[:EXAMPLES]
        examples = [{"value": value, "label": label} for value, label in pairs]
        temporary = self.folder / ".examples.json"
        temporary.write_text(json.dumps(examples), "utf-8")
        temporary.replace(self.folder / "examples.json")

    def _write_artifact(
        self,
        trained: Trained,
        figures: Figures,
        candidates: list[Candidate],
        chosen: Candidate,
        draft: Manifest,
    ) -> None:
        entry, measured = self.entry, self._measured[chosen.quantization]
        training = {
            "title": entry.title,
            "metric": _metric(figures, measured, chosen.parity.rows),
            "references": [reference._asdict() for reference in entry.references],
            "data": {
                name: {"source": data.title, "sha256": data.sha256} for name, data in entry.data.items()
            },
            "facts": {**figures.facts, **measured},
            "candidates": outcomes(candidates, chosen),
            "seconds": {step: round(seconds, 2) for step, seconds in self.seconds.items()},
        }
        manifest = draft._replace(
            quantization=chosen.quantization,
            signatures=tflite.signatures(chosen.data),
            parity=chosen.parity,
            training=training,
            model=describe_file(MODEL_FILE, chosen.data),
        )
        files = {**trained.encoding.files, MODEL_FILE: chosen.data, MANIFEST_FILE: manifest.to_json()}
        with self._replacing("artifact") as folder:
            for name, data in files.items():
                (folder / name).write_bytes(data)

    @contextmanager
    def _replacing(self, name: str) -> Iterator[Path]:
        """A new folder that takes the place of `name` when the block ends well."""
        new, target = self.folder / f".new-{name}", self.folder / name
        new.mkdir()
        yield new
        if target.exists():
            shutil.rmtree(target)
        new.replace(target)

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[step] = self.seconds.get(step, 0.0) + time.monotonic() - started

    def _tell(self, step: str) -> Tell:
        return lambda message, done, total: self._report(under_way(step, message, done, total))

    def _finish(self, step: str, message: str, figures: dict[str, Any]) -> None:
        self._report(Progress(step, message, 1, 1, figures))


def _count(tell: Tell, message: str, before: int, total: int, done: int) -> None:
    tell(message, before + done, total)


def _metric(figures: Figures, measured: dict[str, float], rows: int) -> dict[str, Any]:
    """What training measured; where nothing was trained, how near the served answers are to the source's."""
    if measured:
        name, value = next(iter(measured.items()))
        return {"name": f"{name.replace('_', ' ')} to the float model", "value": value, "rows": rows}
    return {"name": figures.metric, "value": figures.value, "rows": figures.rows}


def main(order: dict[str, Any], channel: TextIO) -> int:
    """Run one order; the exit code is 0 if there is an artifact."""

    def report(progress: Progress) -> None:
        channel.write(to_line(progress))
        channel.flush()

    try:
        Work(order, report).run()
    except EXPECTED as error:
        report(Progress("failed", str(error), 0, 0, {"kind": type(error).__name__}))
        return 1
    return 0


if __name__ == "__main__":
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever prints from here on, in Python or C, prints to the log
    sys.exit(main(json.loads(sys.argv[1]), own))
