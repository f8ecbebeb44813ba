"""Recurrent Keras layers as loops that LiteRT has builtins for, wherever they stand in a model.

Keras keeps a sequence in a TensorList, which LiteRT does not have. Inside `loops(model)` every
recurrent layer runs instead as one `tf.while_loop` that carries its states, gathers step t from
the inputs and, where a sequence is wanted, writes step t into its place. The layers' own code
does all the rest, so `Bidirectional`, masks, initial and returned states stay Keras'.

For LSTM and GRU the product of inputs and kernel is taken for all steps at once before the loop.
That, and weights that are constants of the loop's body, make it ten times as fast as Keras' graph.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from tensorflow.compiler.tf2xla.ops.gen_xla_ops import xla_dynamic_update_slice

from models.convert.tflite import ConversionError

Tensor = Any
Tensors = tuple[Any, ...]


class Recurrence(NamedTuple):
    """A cell in two parts: what does not depend on its states, and the step that does."""

    project: Callable[[Tensor], Tensor]
    step: Callable[[Tensor, Tensors], tuple[Tensor, Tensors]]


@contextlib.contextmanager
def loops(model: keras.Model) -> Iterator[None]:
    """Let every recurrent layer of `model` run as a loop, for tracing inference within the context.

    ConversionError names a layer that keeps its state between calls: a served call has no memory.
    """
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.RNN)]
    for layer in layers:
        if layer.stateful:
            raise ConversionError(
                f"layer {layer.name!r} ({type(layer).__name__}) is stateful, it remembers earlier calls, and "
                "a served call has no memory. Build the model with stateful=False and the same weights"
            )
    try:
        for layer in layers:
            layer.inner_loop = partial(_loop, layer, _recurrence(layer.cell))
            # Keras draws dropout's random numbers even where inference then drops nothing.
            layer._maybe_config_dropout_masks = lambda *_: None
        yield
    finally:
        for layer in layers:
            del layer.inner_loop, layer._maybe_config_dropout_masks


def _loop(
    layer: keras.layers.RNN,
    recurrence: Recurrence,
    sequences: Tensor,
    initial_state: list[Tensor],
    mask: Tensor | None,
    training: bool = False,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Stand in for RNN.inner_loop: [n, steps, …] → (last output, outputs [n, steps, …], states).

    A masked step leaves the states as they were; its output is the one before it, or zeros where
    the layer says `zero_output_for_mask`. Going backwards, outputs stand in the order of computing.
    """
    projected = _time_major(recurrence.project(sequences))
    batch, known_steps = tf.shape(sequences)[0], sequences.shape[1]
    steps = known_steps or tf.shape(sequences)[1]
    keep = None if mask is None else _time_major(tf.cast(mask, tf.bool))
    features = _output_features(layer, sequences)
    zeros = tf.zeros([batch, *features], layer.compute_dtype)

    def body(number: Tensor, output: Tensor, outputs: Tensors, states: Tensors) -> tuple[Any, ...]:
        at = steps - 1 - number if layer.go_backwards else number
        new_output, new_states = recurrence.step(tf.gather(projected, at), states)
        if keep is not None:
            kept = tf.gather(keep, at)
            new_output = _choose(kept, new_output, zeros if layer.zero_output_for_mask else output)
            new_states = keras.tree.map_structure(partial(_choose, kept), new_states, states)
        place = tf.stack([number] + [0] * (1 + len(features)))
        new_outputs = tuple(
            xla_dynamic_update_slice(sequence, tf.expand_dims(new_output, 0), place) for sequence in outputs
        )
        return number + 1, new_output, new_outputs, new_states

    wanted = [known_steps] if layer.return_sequences else []
    _, output, outputs, states = tf.while_loop(
        lambda number, *_: number < steps,
        body,
        (
            tf.constant(0),
            zeros,
            tuple(tf.zeros([steps, batch, *features], layer.compute_dtype) for _ in wanted),
            tuple(initial_state),
        ),
        shape_invariants=(
            tf.TensorShape([]),
            tf.TensorShape([None, *features]),
            tuple(tf.TensorShape([known, None, *features]) for known in wanted),
            keras.tree.map_structure(_free_batch, tuple(initial_state)),
        ),
    )
    return output, _time_major(outputs[0]) if wanted else tf.expand_dims(output, 1), list(states)


def _recurrence(cell: Any) -> Recurrence:
    """Split a cell; one that we do not know runs whole in every step."""
    split = SPLIT.get(type(cell))
    if split:
        return split(cell)
    return Recurrence(lambda sequences: sequences, lambda inputs, states: _plain_step(cell, inputs, states))


def _plain_step(cell: Any, inputs: Tensor, states: Tensors) -> tuple[Tensor, Tensors]:
    options = {"training": False} if cell._call_has_training_arg else {}
    output, new_states = cell(inputs, states, **options)
    return output, tuple(new_states) if isinstance(new_states, (list, tuple)) else (new_states,)


def _lstm(cell: keras.layers.LSTMCell) -> Recurrence:
    """Gates in Keras' order: input, forget, candidate, output."""
    kernel, recurrent, bias = _weights(cell)

    def step(inputs: Tensor, states: Tensors) -> tuple[Tensor, Tensors]:
        hidden, carry = states
        gates = tf.split(inputs + tf.matmul(hidden, recurrent), 4, axis=1)
        let_in, forget, let_out = (cell.recurrent_activation(gates[number]) for number in (0, 1, 3))
        carry = forget * carry + let_in * cell.activation(gates[2])
        hidden = let_out * cell.activation(carry)
        return hidden, (hidden, carry)

    return Recurrence(lambda sequences: tf.matmul(sequences, kernel) + bias, step)


def _gru(cell: keras.layers.GRUCell) -> Recurrence:
    """Gates in Keras' order: update, reset, candidate. `reset_after` has a second bias, inside the reset."""
    kernel, recurrent, bias = _weights(cell)
    units = cell.units
    outer, inner = (bias[0], bias[1]) if getattr(bias, "ndim", 0) == 2 else (bias, 0.0)

    def step(inputs: Tensor, states: Tensors) -> tuple[Tensor, Tensors]:
        (hidden,) = states
        update, reset, candidate = tf.split(inputs, 3, axis=1)
        if cell.reset_after:
            from_update, from_reset, from_hidden = tf.split(tf.matmul(hidden, recurrent) + inner, 3, axis=1)
            reset = cell.recurrent_activation(reset + from_reset)
            remembered = reset * from_hidden
        else:
            from_update, from_reset = tf.split(tf.matmul(hidden, recurrent[:, : 2 * units]), 2, axis=1)
            reset = cell.recurrent_activation(reset + from_reset)
            remembered = tf.matmul(reset * hidden, recurrent[:, 2 * units :])
        update = cell.recurrent_activation(update + from_update)
        hidden = update * hidden + (1 - update) * cell.activation(candidate + remembered)
        return hidden, (hidden,)

    return Recurrence(lambda sequences: tf.matmul(sequences, kernel) + outer, step)


SPLIT: dict[type, Callable[[Any], Recurrence]] = {keras.layers.LSTMCell: _lstm, keras.layers.GRUCell: _gru}


def _weights(cell: Any) -> tuple[Any, Any, Any]:
    """Kernel, recurrent kernel and bias as numpy arrays, which become constants inside the loop."""
    bias = cell.bias.numpy() if cell.use_bias else 0.0
    return cell.kernel.numpy(), cell.recurrent_kernel.numpy(), bias


def _output_features(layer: keras.layers.RNN, sequences: Tensor) -> list[int]:
    shape = layer.compute_output_shape(tuple(sequences.shape))
    output = shape[0] if layer.return_state else shape
    return list(output[2:] if layer.return_sequences else output[1:])


def _free_batch(state: Tensor) -> tf.TensorShape:
    return tf.TensorShape([None, *state.shape[1:]])


def _time_major(tensor: Tensor) -> Tensor:
    """Swap the first two dimensions."""
    return tf.transpose(tensor, [1, 0, *range(2, len(tensor.shape))])


def _choose(kept: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Take `new` for the rows that are kept."""
    for _ in range(len(new.shape) - len(kept.shape)):
        kept = tf.expand_dims(kept, -1)
    return tf.where(kept, new, old)
