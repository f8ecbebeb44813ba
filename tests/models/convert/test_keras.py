"""Keras → LiteRT: the same answers from builtin ops alone, and clear refusals of the rest."""

import json
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

CASES = [
    "lstm",
    "lstm-other-activations",
    "lstm-dropout",
    "lstm-unrolled",
    "gru",
    "gru-reset-before",
    "gru-no-bias",
    "simple-rnn",
    "stacked-cells",
    "stacked",
    "bidirectional",
    "bidirectional-masked",
    "masked",
    "masked-backwards",
    "masking-layer",
    "free-length",
    "free-length-masked",
    "convolutional-lstm",
    "time-distributed",
    "convolutional",
    "convolutional-2d",
    "attention",
    "attention-behind-recurrence",
    "recurrence-over-pictures",
    "recurrence-of-recurrences",
    "several-inputs-and-outputs",
    "inputs-by-name",
    "nested",
]
REFUSALS = {
    "op-without-builtin": ["tf.Erfc", "layer 'complement'", "Use layers"],
    "op-only-flex-has": ["tf.MatrixInverse", "layer 'inverting'", "Use layers"],
    "stateful": ["layer 'remembering' (LSTM)", "stateful=False"],
    "looked-up": ["layer 'words' (StringLookup)", "keras-tokenizer"],
    "subclassed": ["'bare' declares no inputs", "keras.Model(inputs"],
    "outputs-share-a-name": ["['same', 'same']", "layer of its own"],
    "variable-outside": ["1 variables or tables from outside the model", "weights of a layer"],
}


def arrays(conversions: Path, case: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    saved = np.load(conversions / f"{case}.npz")
    given = {key.removeprefix("in:"): saved[key] for key in saved if key.startswith("in:")}
    expected = {key.removeprefix("out:"): saved[key] for key in saved if key.startswith("out:")}
    return given, expected


def test_every_case_made_is_tested(conversions: Path) -> None:
    assert sorted(path.stem for path in conversions.glob("*.tflite")) == sorted(CASES)


@pytest.mark.parametrize("case", CASES)
def test_answers_as_keras(conversions: Path, case: str) -> None:
    given, expected = arrays(conversions, case)
    interpreter = Interpreter(str(conversions / f"{case}.tflite"))
    answer = interpreter.get_signature_runner("predict")
    found = answer(**given)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert np.isfinite(found[name]).all()
        np.testing.assert_allclose(found[name], value, atol=2e-6, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_batch_is_free(conversions: Path, case: str) -> None:
    given, expected = arrays(conversions, case)
    answer = Interpreter(str(conversions / f"{case}.tflite")).get_signature_runner("predict")
    for size in (1, 3, 2):
        found = answer(**{name: value[:size] for name, value in given.items()})
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value[:size], atol=2e-6, rtol=0)


@pytest.mark.parametrize("case", ["free-length", "free-length-masked"])
def test_length_is_free(conversions: Path, case: str) -> None:
    """A longer sequence padded with steps that count for nothing answers as the shorter one."""
    given, expected = arrays(conversions, case)
    answer = Interpreter(str(conversions / f"{case}.tflite")).get_signature_runner("predict")
    (name, value), (output, wanted) = *given.items(), *expected.items()
    if case.endswith("masked"):
        value = np.concatenate([value, np.zeros_like(value[:, :3])], axis=1)
        np.testing.assert_allclose(answer(**{name: value})[output], wanted, atol=2e-6, rtol=0)
    else:
        shorter = answer(**{name: value[:, :7]})[output]
        assert shorter.shape == wanted.shape
        assert np.abs(shorter - wanted).max() > 1e-3


@pytest.mark.parametrize("case", CASES)
def test_has_builtin_ops_only(conversions: Path, case: str) -> None:
    interpreter = Interpreter(
        str(conversions / f"{case}.tflite"),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    names = {op["op_name"] for op in interpreter._get_ops_details()}
    assert not {name for name in names if name.startswith("Flex") or name == "CUSTOM"}


@pytest.mark.parametrize("case", REFUSALS)
def test_refuses_by_name_and_says_what_to_do(conversions: Path, case: str) -> None:
    message = json.loads((conversions / "refusals.json").read_text()).get(case, "it was not refused")
    for part in REFUSALS[case]:
        assert part in message
