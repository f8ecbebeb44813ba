"""The engine: a published model, verified, loaded and ready to answer.

It trusts no byte that the manifest doesn't name, and no manifest that the graph contradicts. It
meters nothing: an answer and its usage row are born together in `functions/calls`.
"""

from __future__ import annotations

import sys

from functions.inference.library import LibraryError
from functions.inference.litert import LiteRTModel
from functions.inference.runtime import ImpureGraph, Runtime, RuntimeFailure, arrange
from functions.preprocess.kinds import Preprocessor, make_preprocessor
from functions.preprocess.tensors import ELEMENT, InputError, Tensor, element_count
from models.manifest import Manifest, ManifestError, Signature, TensorSpec, verify
from models.typed import Callable, Sequence

PREDICT = "predict"


class ModelLoadError(Exception):
    """A model version can't be served; the message names it and says why."""


class InferenceError(Exception):
    """The graph could not be run on tensors that fit it. Nothing was answered."""


class Model:
    """One loaded model version. Safe to share between threads, which then take turns."""

    def __init__(self, manifest: Manifest, preprocessor: Preprocessor, runtime: Runtime) -> None:
        """Made by `load`."""
        self.manifest = manifest
        self._preprocessor = preprocessor
        self._runtime = runtime
        # All sets of inputs that a caller may give, `inputs` first; a batch is of one form.
        self.forms = (preprocessor.inputs, *getattr(preprocessor, "alternatives", ()))
        self.takes_missing: bool = getattr(preprocessor, "takes_missing", False)
        # Where the runtime's outputs, by signature, lie in the order of the manifest's.
        self._places = {
            key: [
                [spec.name for spec in runtime.signatures[key].outputs].index(spec.name) for spec in outputs
            ]
            for key, (_, outputs) in manifest.signatures.items()
        }

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What a caller gives: the first dimension of each is the number of instances."""
        return self._preprocessor.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `run` gives for "predict"."""
        return self.manifest.signatures[PREDICT].outputs

    def prepare(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Turn a caller's tensors, in any order, into the graph's; InputError says what does not fit."""
        form = self.forms[0]
        if len(self.forms) > 1:
            names = {tensor.name for tensor in inputs}
            form = next((one for one in self.forms if names == {spec.name for spec in one}), form)
        ordered = arrange(form, inputs)
        if len(ordered) > 1 and len({tensor.shape[0] for tensor in ordered if tensor.shape}) > 1:
            came = ", ".join(f"{tensor.name} {tensor.shape[0]}" for tensor in ordered if tensor.shape)
            raise InputError(f"every input must have the same number of instances; what came: {came}")
        return self._preprocessor(ordered)

    def run(self, tensors: Sequence[Tensor], signature: str = PREDICT) -> tuple[Tensor, ...]:
        """Run the graph on what `prepare` gave; InferenceError where it fails.

        Outputs are as the graph gives them: NaN and infinities pass through.
        """
        try:
            results = self._runtime.run(signature, tensors)
            return tuple([results[place] for place in self._places[signature]])
        except (RuntimeFailure, InputError) as error:
            raise InferenceError(f"{_title(self.manifest)}: {error}") from error

    def close(self) -> None:
        """Free the model; running afterwards is an InferenceError."""
        self._runtime.close()


def load(manifest: Manifest, read: Callable[[str], bytes], *, library: str | None = None) -> Model:
    """Load what `manifest` names, each file by `read(name)`; ModelLoadError where anything is not as it says.

    `library` is the path of LiteRT's C library; without one it is looked for.
    """
    try:
        files = {ref.name: verify(ref, read(ref.name)) for ref in manifest.files}
        if PREDICT not in manifest.signatures:
            raise ManifestError(f"its manifest has no signature {PREDICT!r}")
        runtime = open_graph(files[manifest.model.name], library)
        for key, expected in manifest.signatures.items():
            _check_signature(key, expected, runtime.signatures.get(key))
        preprocessor = make_preprocessor(manifest.preprocess, files, manifest.signatures[PREDICT])
        return Model(manifest, preprocessor, runtime)
    except (ManifestError, RuntimeFailure, LibraryError, OSError, KeyError, ValueError, TypeError) as error:
        raise ModelLoadError(f"{_title(manifest)} can't be loaded: {error}") from error


def open_graph(data: bytes, library: str | None = None) -> Runtime:
    """A graph alone, without a manifest, on the runtime that can load it; RuntimeFailure where none can."""
    if sys.platform != "linux" and library is None:  # the builds that the binding knows are Linux's
        return _interpreter(data)
    try:
        return _warm(LiteRTModel(data, library=library))
    except ImpureGraph:
        raise
    except RuntimeFailure as refusal:
        try:
            return _warm(_interpreter(data))
        except RuntimeFailure as error:
            raise RuntimeFailure(f"{refusal}; {error}") from error


def _interpreter(data: bytes) -> Runtime:
    from functions.inference.interpreter import InterpreterModel

    return InterpreterModel(data)


def _warm(runtime: Runtime) -> Runtime:
    """Run one instance of zeros: a first run takes two to three times as long as those after it.

    It also finds the graph that a runtime loads but can't run. Where more than the batch is free,
    there is no telling which sizes a graph takes, and nothing is run.
    """
    specs = runtime.signatures[PREDICT].inputs if PREDICT in runtime.signatures else ()
    if specs and all(min(spec.shape[1:], default=1) > 0 for spec in specs):
        shapes = [tuple(1 if dimension < 0 else dimension for dimension in spec.shape) for spec in specs]
        runtime.run(
            PREDICT,
            [
                Tensor(spec.name, spec.dtype, shape, bytes(element_count(shape) * ELEMENT[spec.dtype][1]))
                for spec, shape in zip(specs, shapes, strict=True)
            ],
        )
    return runtime


def _check_signature(key: str, expected: Signature, found: Signature | None) -> None:
    if found is None or any(sorted(e) != sorted(f) for e, f in zip(expected, found, strict=True)):
        raise ManifestError(f"the graph's signature {key!r} is {found}, its manifest says {expected}")


def _title(manifest: Manifest) -> str:
    return f"model {manifest.name} version {manifest.version or '(unpublished)'}"
