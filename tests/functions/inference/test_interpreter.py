"""The Interpreter as a runtime: the cases that only it can run, and what a shared one has to withstand."""

import threading

import pytest

from functions.inference.interpreter import InterpreterModel
from functions.inference.runtime import RuntimeFailure
from functions.preprocess.tensors import InputError, Tensor


def test_a_fused_layer_forgets_between_calls(graph, some_tensors):
    model = InterpreterModel(graph("fused_lstm"))
    ((key, signature),) = model.signatures.items()
    tensors, other = (some_tensors(signature, 1, seed) for seed in (1, 2))
    first = model.run(key, tensors)
    assert model.run(key, other) != first
    assert model.run(key, tensors) == first


def test_shared_tensors(graph):
    model = InterpreterModel(graph("shared_tensors"))
    zeros, ones = bytes(16), b"\0\0\x80\x3f" * 4
    answer = model.run("predict", [Tensor("x", "float32", (1, 4), zeros)])
    assert {tensor.name: tensor.data for tensor in answer} == {"same": zeros, "one": ones, "another": ones}


def test_errors(graph):
    with pytest.raises(RuntimeFailure, match="can't load the graph"):
        InterpreterModel(b"no model")
    with pytest.raises(RuntimeFailure, match="can't be passed"):
        InterpreterModel(graph("text"))
    model = InterpreterModel(graph("lstm"))
    with pytest.raises(InputError, match="was expected"):
        model.run("predict", [Tensor("tokens", "int32", (1, 19), bytes(76))])
    with pytest.raises(RuntimeFailure, match="gather index out of bounds"):
        model.run("predict", [Tensor("tokens", "int32", (1, 20), b"\xff\xff\xff\x7f" * 20)])
    with pytest.raises(RuntimeFailure, match="no signature 'explain'"):
        model.run("explain", [])
    model.close()
    model.close()
    with pytest.raises(RuntimeFailure, match="closed"):
        model.run("predict", [Tensor("tokens", "int32", (1, 20), bytes(80))])


def test_eight_threads_take_turns(graph, some_tensors):
    model = InterpreterModel(graph("attention"))
    work = [some_tensors(model.signatures["predict"], batch, 1) for batch in (1, 2, 3)]
    expected = [model.run("predict", tensors) for tensors in work]
    wrong = []

    def hammer():
        for turn in range(150):
            try:
                if model.run("predict", work[turn % 3]) != expected[turn % 3]:
                    wrong.append(turn)
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=hammer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
