"""JSON ⇄ tensors, with every check that an untrusted value needs.

The standard library's arrays do the work: a list of numbers becomes raw bytes in one C call,
after one pass over its types. What does not fit is an InputError that says where.
"""

from __future__ import annotations

import sys
from array import array
from itertools import chain
from math import isfinite, isinf, nan

from functions.preprocess.tensors import (
    BYTES,
    ELEMENT,
    STRING,
    InputError,
    Tensor,
    element_count,
    shape_fits,
)
from models.manifest import TensorSpec
from models.strict_json import loads, quoted
from models.typed import Any, Sequence

assert sys.byteorder == "little", "tensors are little-endian; no platform that Payphone runs on is otherwise"

_NUMBERS = frozenset((int, float))
_NULL = type(None)


def parse_json(data: bytes) -> Any:
    """Parse a caller's JSON: ValueError for NaN, Infinity, bad UTF-8 or absurd nesting."""
    try:
        return loads(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 at byte {error.start}") from None


def choose_form(instance: Any, forms: Sequence[Sequence[TensorSpec]]) -> Sequence[TensorSpec]:
    """The form in which a caller has given an instance: by its members' names, or a bare text's or list's."""
    if len(forms) == 1:
        return forms[0]
    if isinstance(instance, dict):
        for form in forms:
            if instance.keys() == {spec.name for spec in form}:
                return form
        known = " or ".join("+".join(f'"{spec.name}"' for spec in form) for form in forms)
        raise InputError(f"instance 0 should be an object with exactly {known}")
    texts = (form for form in forms if len(form) == 1 and form[0].dtype in (STRING, BYTES))
    return next(texts, forms[0]) if isinstance(instance, str) else forms[0]


def tensors_from_instances(
    instances: Sequence[Any], inputs: Sequence[TensorSpec], takes_missing: bool = False
) -> list[Tensor]:
    """Stack instances (each a value, or an object by input name) into one tensor an input.

    `takes_missing`: a null among floats is a value that is missing, which the tensor has as NaN.
    """
    columns: list[list[Any]]
    if len(inputs) == 1:
        name = inputs[0].name
        column = list(instances)
        for number, value in enumerate(instances):
            if type(value) is dict:
                column[number] = _single(value, name, number)
        columns = [column]
    else:
        columns = [[] for _ in inputs]
        for number, value in enumerate(instances):
            if not isinstance(value, dict) or value.keys() != {spec.name for spec in inputs}:
                names = ", ".join(f'"{spec.name}"' for spec in inputs)
                raise InputError(f"instance {number} should be an object with exactly {names}")
            for column, spec in zip(columns, inputs, strict=True):
                column.append(value[spec.name])
    return [
        _rows(column, spec) or _stack(column, spec, takes_missing)
        for column, spec in zip(columns, inputs, strict=True)
    ]


def tensor_from_list(
    spec: TensorSpec, dtype: str, shape: tuple[int, ...], values: Any, takes_missing: bool = False
) -> Tensor:
    """Make a tensor of V2 `data`, which may be flat or nested; both are row-major."""
    check_tensor(spec, dtype, shape)
    where = f'input "{spec.name}"'
    if not isinstance(values, list):
        raise InputError(f"{where} should have its data as a list")
    if values and isinstance(values[0], list):
        unfolded = _unfold(values, shape)
        if unfolded is None:
            raise InputError(f"{where} has data that is not nested as its shape {list(shape)} says")
        values = unfolded
    return _pack(spec, shape, values, where, takes_missing)


def check_tensor(spec: TensorSpec, dtype: str, shape: tuple[int, ...]) -> None:
    """InputError where a caller's type or shape is not the input's."""
    if dtype != spec.dtype:
        raise InputError(f'input "{spec.name}" should be of type {spec.dtype}, {dtype} came')
    if not shape_fits(shape, spec.shape) or any(size < 1 for size in shape):
        raise InputError(f'input "{spec.name}" should have the shape {list(spec.shape)}, {list(shape)} came')


def numbers_of(tensor: Tensor) -> Sequence[float]:
    """The elements of a tensor of numbers, flat."""
    return array(ELEMENT[tensor.dtype][0].replace("?", "B"), tensor.data)  # type: ignore[arg-type]


def texts_of(tensor: Tensor) -> list[str]:
    """The elements as flat JSON. A float32 keeps the 9 digits that carry it; NaN, ∞ become null."""
    if tensor.dtype == STRING:
        return [*map(quoted, tensor.data)]  # type: ignore[arg-type]
    numbers = numbers_of(tensor)
    if tensor.dtype == "float32":
        texts = ("%.9g " * len(numbers) % tuple(numbers)).split()
        return [text if "." in text and "+" not in text else json_number(text) for text in texts]
    if tensor.dtype == "float64":
        return [repr(number) if isfinite(number) else "null" for number in numbers]
    if tensor.dtype == "bool":
        return ["true" if number else "false" for number in numbers]
    return [*map(str, numbers)]


def json_number(text: str) -> str:
    """How JSON has the number that `%g` wrote, as if it were parsed and written again; null for none."""
    number = float(text)
    return repr(number) if isfinite(number) else "null"


def nested(texts: list[str], shape: Sequence[int]) -> list[str]:
    """Fold flat JSON into lists by `shape`: one text for each element of its first dimension."""
    for size in reversed(shape[1:]):
        texts = [f"[{','.join(texts[at : at + size])}]" for at in range(0, len(texts), size)] if size else []
    return texts


def _rows(column: list[Any], spec: TensorSpec) -> Tensor | None:
    """A batch of flat lists of numbers, as most are, in few steps; None for all that has to be looked at."""
    name, dtype, expected = spec
    if len(expected) != 2 or not dtype.startswith("float"):
        return None
    width = expected[1]
    for row in column:
        if type(row) is not list or len(row) != width:
            return None
    flat = column[0] if len(column) == 1 else list(chain.from_iterable(column))
    if not _NUMBERS.issuperset(map(type, flat)):
        return None
    try:
        packed = array(ELEMENT[dtype][0], flat)
    except OverflowError:
        return None
    return Tensor(name, dtype, (len(column), width), packed.tobytes()) if isfinite(sum(packed)) else None


def _single(value: dict[str, Any], name: str, number: int) -> Any:
    if value.keys() != {name}:
        raise InputError(f'instance {number} should be the value itself or an object with exactly "{name}"')
    return value[name]


def _stack(column: list[Any], spec: TensorSpec, takes_missing: bool) -> Tensor:
    """Stack one value an instance; free dimensions but the first must agree over the batch."""
    shape = _shape_of(column[0], len(spec.shape))
    if not shape_fits(shape, spec.shape[1:]) or 0 in shape:
        expected = _show(spec.shape[1:])
        raise InputError(f'instance 0: "{spec.name}" should have {expected}, it has {_show(shape)}')
    flat = _unfold(column, (len(column), *shape))
    if flat is None:
        number = next(n for n, value in enumerate(column) if _unfold(value, shape) is None)
        raise InputError(f'instance {number}: "{spec.name}" is not of {_show(shape)} as instance 0 is')
    return _pack(spec, (len(column), *shape), flat, f'"{spec.name}"', takes_missing)


def _shape_of(value: Any, most: int) -> tuple[int, ...]:
    """The shape of nested lists by their first elements, followed `most` levels deep at the most."""
    shape: list[int] = []
    while isinstance(value, list) and len(shape) < most:
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _unfold(value: Any, shape: Sequence[int]) -> list[Any] | None:
    """Flatten lists nested as `shape`, None where they are not; by levels, so nothing recurses."""
    level = [value]
    for size in shape:
        for item in level:
            if not isinstance(item, list) or len(item) != size:
                return None
        level = list(chain.from_iterable(level))
    return level


def _pack(
    spec: TensorSpec, shape: tuple[int, ...], flat: list[Any], where: str, takes_missing: bool
) -> Tensor:
    count = element_count(shape)
    if len(flat) != count:
        raise InputError(f"{where} has {len(flat)} values; its shape {list(shape)} needs {count}")
    types = set(map(type, flat))
    if spec.dtype == STRING:
        if types - {str}:
            raise InputError(f"{where} should be strings, a {_name(types - {str})} came")
        return Tensor(spec.name, STRING, shape, flat)
    if spec.dtype == BYTES:
        if types - {str}:
            raise InputError(f"{where} should be base64 texts, a {_name(types - {str})} came")
        return Tensor(spec.name, BYTES, shape, [_from_base64(text, where) for text in flat])
    if spec.dtype == "bool":
        if types - {bool}:
            raise InputError(f"{where} should be true or false, a {_name(types - {bool})} came")
        return Tensor(spec.name, "bool", shape, bytes(flat))
    floating = spec.dtype.startswith("float")
    if takes_missing and floating and _NULL in types:
        flat = [nan if value is None else value for value in flat]
        types.remove(_NULL)
    wrong = types - (_NUMBERS if floating else {int})
    if wrong:
        expected = "numbers" if floating else "whole numbers"
        raise InputError(f"{where} should be {expected} ({spec.dtype}), a {_name(wrong)} came")
    try:
        packed = array(ELEMENT[spec.dtype][0], flat)
    except OverflowError:
        raise InputError(f"{where} has a number outside the range of {spec.dtype}") from None
    # JSON has no NaN: where one is, it was a null.
    if floating and not isfinite(sum(packed)) and any(map(isinf, packed)):
        raise InputError(f"{where} has a number outside the range of {spec.dtype}")
    return Tensor(spec.name, spec.dtype, shape, packed.tobytes())


def _from_base64(text: str, where: str) -> bytes:
    from binascii import Error, a2b_base64

    try:
        return a2b_base64(text, strict_mode=True)
    except (Error, ValueError):
        raise InputError(f"{where} should be a file's bytes in base64, which it is not") from None


def _show(shape: tuple[int, ...]) -> str:
    return f"the shape {['any' if d == -1 else d for d in shape]}" if shape else "a single value"


def _name(types: set[type]) -> str:
    names = {dict: "object", list: "list", str: "string", bool: "boolean", int: "number", float: "fraction"}
    return names.get(sorted(types, key=lambda t: t.__name__)[0], "null")
