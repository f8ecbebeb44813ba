"""The child process of `payphone model add`: opens a file that nobody vouches for, converts it and proves it.

    python -m infra.adopt.child < '{"path": …, "kind": …, "folder": …, …}'

A file that crashes its framework takes this process with it and no other. It leaves `artifact/` and
request.json in the folder; its last line on standard output is one JSON object: {"notes": […]} or
{"refused": "…"}. What frameworks print goes to standard error.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, TextIO

from functions.calls.problems import MAX_BODY
from functions.inference import engine
from functions.inference.runtime import Runtime, RuntimeFailure
from functions.preprocess.tensors import ELEMENT, InputError, element_count
from infra.adopt.opened import Asked, Opened, open_model
from infra.adopt.proof import made_up, prove_rows, rows_for, takes_missing
from infra.pace import paces
from infra.progress import Progress, to_line, under_way
from infra.rows import RowError
from models.convert.errors import ConversionError
from models.manifest import (
    MANIFEST_FILE,
    MODEL_FILE,
    Gate,
    Manifest,
    Parity,
    Preprocess,
    Signature,
    describe_file,
)
from models.parity import ParityError
from models.quantize import Candidate, choose, outcomes

PREDICT = "predict"
BATCH = 64
LEAST_MEMORY = 8 << 30  # TensorFlow maps gigabytes that it never touches

EXPECTED = (
    ConversionError,
    ParityError,
    RuntimeFailure,
    engine.ModelLoadError,
    RowError,
    InputError,
    OSError,
)
AGREEMENT = {"float16": 0.995, "dynamic-int8": 0.99}


def adopt(order: dict[str, Any], report: Callable[[Progress], None]) -> list[str]:
    """Do what the parent ordered; gives notes for the operator. Raises one of EXPECTED."""
    path, folder = Path(order["path"]), Path(order["folder"])
    asked = Asked(
        path, order["kind"], order["signature"], order["raw"], order["trust"], order["quantizations"]
    )
    report(under_way("open", f"Looking into {path.name}", 0, 0))
    opened = open_model(asked)
    report(Progress("open", f"{path.name} can be served: {_source(opened)}", 1, 1, {}))
    rows: list[Any] = []
    candidates: list[Candidate] = []
    drafts: dict[str, Manifest] = {}
    missing = False  # the first file is the one nearest to the source: it decides
    for number, (quantization, data) in enumerate(opened.files.items()):
        report(under_way("prove", f"Answering rows with {quantization}", number, len(opened.files)))
        draft = _draft(order, opened, quantization, data)
        read = {MODEL_FILE: data, **opened.encoding.files}.__getitem__
        model = engine.load(draft, read)
        answers = takes_missing(model, opened)
        missing = missing if drafts else answers
        if missing:
            model.close()
            if not answers:  # coarser weights that lost it
                continue
            draft = _with_missing(draft)
            model = engine.load(draft, read)
        try:
            rows = rows or rows_for(order["sample"], model, opened.words)
            candidate, task, labels = prove_rows(model, data, rows, opened, order["labels"])
        finally:
            model.close()
        drafts[quantization] = draft._replace(task=task, labels=labels)
        candidates.append(candidate)
    if len(candidates) > 1:
        speeds = paces(
            {
                name: (draft, {MODEL_FILE: opened.files[name], **opened.encoding.files})
                for name, draft in drafts.items()
            },
            rows[0],
        )
        candidates = [item._replace(microseconds=speeds[item.quantization]) for item in candidates]
    chosen = choose(candidates)
    manifest = drafts[chosen.quantization]._replace(
        parity=chosen.parity, training=_training(order, path, chosen, candidates)
    )
    kind = "rows of the sample" if order["sample"] else "made-up rows"
    message = f"{chosen.quantization} answers as its source does on {chosen.parity.rows:,} {kind}"
    report(Progress("prove", message, 1, 1, {}))
    notes = list(opened.notes)
    if manifest.preprocess.parameters.get("missing"):
        notes.append("values may be missing (null in JSON), as in its source")
    if not order["sample"]:
        notes.append(f"proven on {len(rows)} made-up rows; with --sample rows.csv it is proven on real ones")
    artifact = folder / "artifact"
    artifact.mkdir()
    for name, content in {**opened.encoding.files, MODEL_FILE: chosen.data}.items():
        (artifact / name).write_bytes(content)
    (artifact / MANIFEST_FILE).write_bytes(manifest.to_json())
    fixed = manifest.signatures[PREDICT].inputs[0].shape[0]
    request = {"instances": rows[: max(fixed, 1)]}
    (folder / "request.json").write_text(json.dumps(request), "utf-8")
    return notes


def _source(opened: Opened) -> str:
    names = {key: value for key, value in opened.source.items() if key not in ("framework", "file")}
    return ", ".join(f"{name} {version}" for name, version in names.items()) or opened.source["framework"]


def _draft(order: dict[str, Any], opened: Opened, quantization: str, data: bytes) -> Manifest:
    """A manifest that the engine can load the graph by."""
    runtime = engine.open_graph(data)
    try:
        signature = runtime.signatures.get(PREDICT)
        if signature is None:
            raise ConversionError(f"the graph has the signatures {', '.join(runtime.signatures)} only")
        _check_inputs(signature)
        most = _most_instances(signature, runtime)
    finally:
        runtime.close()
    encoding = opened.encoding
    files = tuple(describe_file(name, content) for name, content in sorted(encoding.files.items()))
    return Manifest(
        name=order["name"],
        version="",
        family="brought",
        task="prediction",
        signatures={PREDICT: signature},
        preprocess=Preprocess(encoding.kind, encoding.parameters, files),
        labels=(),
        max_instances=most,
        source=opened.source,
        quantization=quantization,
        parity=Parity(0, 0.0, 0.0, Gate(1, AGREEMENT.get(quantization, 1.0), 0.0)),
        training={},
        licence=order["licence"],
        model=describe_file(MODEL_FILE, data),
        recipe=order["sha256"],
    )


def _with_missing(draft: Manifest) -> Manifest:
    """The same for a model whose rows may lack values."""
    parameters = {**draft.preprocess.parameters, "missing": True}
    return draft._replace(preprocess=draft.preprocess._replace(parameters=parameters))


def _check_inputs(signature: Signature) -> None:
    """Refuse a graph whose inputs no request could carry."""
    for spec in signature.inputs:
        if not spec.shape:
            raise ConversionError(
                f"the input {spec.name!r} is a single number: every input needs a first dimension, that of "
                "the instances. Convert the model again with it as [1] or [n]"
            )
        if spec.dtype not in ELEMENT:
            raise ConversionError(
                f"the input {spec.name!r} is {spec.dtype}: convert the model to take numbers"
            )
    size = sum(
        element_count(tuple(map(abs, spec.shape))) * ELEMENT[spec.dtype][1] for spec in signature.inputs
    )
    if size > MAX_BODY:
        shapes = ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in signature.inputs)
        raise ConversionError(
            f"one instance has {size:,} bytes ({shapes}), and a request may have {MAX_BODY:,}: "
            "make the inputs smaller, or uint8"
        )


def _most_instances(signature: Signature, runtime: Runtime) -> int:
    """How many instances a request may carry, by the first dimension of all inputs."""
    sizes = {spec.shape[0] for spec in signature.inputs}
    if len(sizes) > 1:
        shapes = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in signature.inputs)
        raise ConversionError(
            f"its inputs count instances differently ({shapes}): convert it with a free batch"
        )
    (size,) = sizes
    if size > 0:
        return size
    try:  # some graphs say that their batch is free and were built for one
        outputs = runtime.run(
            PREDICT, [made_up(spec.shape, spec.dtype, spec.name, 2) for spec in signature.inputs]
        )
    except (RuntimeFailure, InputError):
        return 1
    return BATCH if all(tensor.shape[:1] == (2,) for tensor in outputs) else 1


def _training(
    order: dict[str, Any], path: Path, chosen: Candidate, candidates: list[Candidate]
) -> dict[str, Any]:
    rows = chosen.parity.rows
    kind = "of the sample" if order["sample"] else "made up"
    return {
        "metric": {"name": "agreement with the source", "value": chosen.parity.agreement, "rows": rows},
        "references": [],
        "data": {"model": {"source": path.name, "sha256": order["sha256"]}},
        "facts": {"brought": path.name, "rows": kind},
        "candidates": outcomes(candidates, chosen),
    }


def file_digest(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files with their names."""
    if path.is_file():
        return sha256(path.read_bytes()).hexdigest()
    digest = sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            digest.update(f"{sha256(file.read_bytes()).hexdigest()}  {file.relative_to(path)}\n".encode())
    return digest.hexdigest()


def main(order: dict[str, Any], channel: TextIO) -> None:
    """Do one order and say how it went."""

    def say(line: str) -> None:
        channel.write(line)
        channel.flush()

    _limit_memory()
    try:
        order["sha256"] = file_digest(Path(order["path"]))
        answer: dict[str, Any] = {"notes": adopt(order, lambda progress: say(to_line(progress)))}
    except EXPECTED as error:
        answer = {"refused": str(error)}
    except MemoryError:
        answer = {"refused": "it needs more memory than there is: quantise or prune it"}
    say(json.dumps(answer) + "\n")


def _limit_memory() -> None:
    """No more than the machine has: a file that asks for more ends this process, and not another one."""
    most = max(LEAST_MEMORY, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


if __name__ == "__main__":
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever prints from here on, in Python or C, prints to the log
    main(json.load(sys.stdin), own)
