"""The same runtime on the stock `ai_edge_litert.interpreter.Interpreter`, numpy and all.

It is the fallback for the few graphs that the binding can't load, and what the binding is tested
against. Imported only where one of the two is wanted: the import alone costs more than a cold start.
"""

from __future__ import annotations

from threading import Lock

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from functions.inference.runtime import DEFAULT_SIGNATURE, RuntimeFailure, arrange
from functions.preprocess.tensors import Tensor
from models.manifest import DTYPES, Signature, TensorSpec
from models.typed import Any, Mapping, Sequence


class InterpreterModel:
    """A runtime (see `runtime.Runtime`). Two threads in one Interpreter fail, so calls take turns."""

    def __init__(self, data: bytes, *, threads: int = 1) -> None:
        """Load the graph; RuntimeFailure where the Interpreter can't."""
        self._lock = Lock()
        try:
            self._interpreter = Interpreter(model_content=data, num_threads=threads)
            self._interpreter.allocate_tensors()
            keys = self._interpreter.get_signature_list()
            self._runners: dict[str, Any] = {k: self._interpreter.get_signature_runner(k) for k in keys} or {
                DEFAULT_SIGNATURE: _WholeGraph(self._interpreter)
            }
        except (ValueError, RuntimeError) as error:
            raise RuntimeFailure(f"the Interpreter can't load the graph: {_line(error)}") from error
        self.signatures = {
            key: Signature(_specs(runner.get_input_details()), _specs(runner.get_output_details()))
            for key, runner in self._runners.items()
        }

    def run(self, key: str, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Run signature `key`; see `runtime.Runtime.run`."""
        with self._lock:
            if not self._runners:
                raise RuntimeFailure("the model is closed")
            if key not in self._runners:
                known = ", ".join(self._runners)
                raise RuntimeFailure(f"the graph has no signature {key!r} (it has: {known})")
            signature = self.signatures[key]
            ordered = arrange(signature.inputs, tensors)
            arrays = {name: np.frombuffer(data, dtype).reshape(shape) for name, dtype, shape, data in ordered}  # type: ignore[arg-type]
            # What fused recurrent layers carried over from the last call would make answers depend on it.
            self._interpreter.reset_all_variables()
            try:
                results = self._runners[key](**arrays)
            except (ValueError, RuntimeError) as error:
                raise RuntimeFailure(f"the run failed: {_line(error)}") from error
            return tuple(
                Tensor(name, dtype, results[name].shape, results[name].tobytes())
                for name, dtype, _ in signature.outputs
            )

    def close(self) -> None:
        """Let go of the Interpreter, which frees itself."""
        with self._lock:
            self._runners = {}
            self._interpreter = None


class _WholeGraph:
    """A graph without signatures, behind the interface of the Interpreter's SignatureRunner."""

    def __init__(self, interpreter: Interpreter) -> None:
        self._interpreter = interpreter

    def get_input_details(self) -> dict[str, Any]:
        return {detail["name"]: detail for detail in self._interpreter.get_input_details()}

    def get_output_details(self) -> dict[str, Any]:
        return {detail["name"]: detail for detail in self._interpreter.get_output_details()}

    def __call__(self, **arrays: Any) -> Mapping[str, Any]:
        inputs = self.get_input_details()
        for name, value in arrays.items():
            self._interpreter.resize_tensor_input(inputs[name]["index"], value.shape, strict=True)
        self._interpreter.allocate_tensors()
        for name, value in arrays.items():
            self._interpreter.set_tensor(inputs[name]["index"], value)
        self._interpreter.invoke()
        outputs = self.get_output_details()
        return {name: self._interpreter.get_tensor(detail["index"]) for name, detail in outputs.items()}


def _specs(details: dict[str, Any]) -> tuple[TensorSpec, ...]:
    specs = []
    for name, detail in details.items():
        dtype = np.dtype(detail["dtype"]).name
        if dtype not in DTYPES:
            raise RuntimeFailure(f"{name} has the element type {dtype}, which can't be passed")
        specs.append(TensorSpec(name, dtype, tuple(map(int, detail["shape_signature"]))))
    return tuple(specs)


def _line(error: Exception) -> str:
    return "; ".join(str(error).splitlines())
