"""Our NamedTuple does at run time what typing's does, so that no one can tell which one a class is."""

import copy
import pickle
import types
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import typed


class Ours(typed.NamedTuple):
    a: int
    b: str = "x"
    c: tuple = ()

    def both(self):
        return f"{self.a}{self.b}"


class Theirs(typing.NamedTuple):
    a: int
    b: str = "x"
    c: tuple = ()

    def both(self):
        return f"{self.a}{self.b}"


ARGUMENTS = st.tuples(
    st.lists(st.integers(), max_size=4),
    st.dictionaries(st.sampled_from("abcd"), st.text(max_size=3), max_size=4),
)


@given(ARGUMENTS, ARGUMENTS)
def test_made_of_any_arguments_both_are_the_same_or_both_refuse(made, changed):
    results = []
    for kind in (Ours, Theirs):
        try:
            one = kind(*made[0], **made[1])
        except TypeError:
            results.append(TypeError)
            continue
        try:
            replaced = one._replace(**changed[1])
        except (TypeError, ValueError):  # TypeError only since Python 3.13
            replaced = ("refused",)
        shown = repr(one).removeprefix(kind.__name__)
        results.append((tuple(one), one._asdict(), one.both(), shown, hash(one), tuple(replaced)))
    assert results[0] == results[1]


def test_they_are_tuples_that_copy_match_and_say_what_is_missing():
    one = Ours(1, c=(2,))
    assert one == (1, "x", (2,))
    assert copy.copy(one) == copy.deepcopy(one) == one == Ours._make(one)
    assert (Ours._fields, Ours._field_defaults) == (Theirs._fields, Theirs._field_defaults)
    assert not hasattr(one, "__dict__")
    match one:
        case Ours(a, b, c):
            assert (a, b, c) == tuple(one)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'a'"):
        Ours()
    with pytest.raises(AttributeError):
        one.a = 2


def test_they_are_pickled():
    from functions.metering.event import UsageEvent

    event = UsageEvent("c", ("a",), "k", "u", "p@1", "m", "1", "predict", 1, 2, 3, "")
    assert pickle.loads(pickle.dumps(event)) == event
    assert type(pickle.loads(pickle.dumps(event))) is UsageEvent


@pytest.mark.parametrize("base", [typed.NamedTuple, typing.NamedTuple])
def test_a_default_before_a_field_without_one_is_refused(base):
    body = {"__annotations__": {"a": int, "b": int}, "a": 1, "__module__": __name__}
    with pytest.raises(TypeError, match="default"):
        types.new_class("Wrong", (base,), exec_body=lambda namespace: namespace.update(body))
