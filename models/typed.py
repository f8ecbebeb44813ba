"""What our annotations need of `typing` and `collections.abc`, without their packages: 4 ms of a cold start.

A type checker sees `typing` itself. At run time annotations are never evaluated, a Protocol is an
empty base, and a NamedTuple is made without compiling a constructor for each class, which is what
`collections.namedtuple` takes its time for. What one can do with them is the same.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take this name for true

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any, NamedTuple, Protocol
else:
    from _collections import _tuplegetter  # the C descriptor that namedtuple's own fields are
    from _collections_abc import Callable, Iterable, Iterator, Mapping, Sequence  # `os` has imported it

    Any = object

    class Protocol:
        """A base that says nothing."""

    _new = tuple.__new__

    # Constructors by the number of fields (a class with more needs one more line here), ready-made: `_Named`
    # puts in the fields' names. So it is Python itself that takes arguments by place, by name or by default.
    _CONSTRUCTORS = (
        lambda cls: _new(cls, ()),
        lambda cls, a: _new(cls, (a,)),
        lambda cls, a, b: _new(cls, (a, b)),
        lambda cls, a, b, c: _new(cls, (a, b, c)),
        lambda cls, a, b, c, d: _new(cls, (a, b, c, d)),
        lambda cls, a, b, c, d, e: _new(cls, (a, b, c, d, e)),
        lambda cls, a, b, c, d, e, f: _new(cls, (a, b, c, d, e, f)),
        lambda cls, a, b, c, d, e, f, g: _new(cls, (a, b, c, d, e, f, g)),
        lambda cls, a, b, c, d, e, f, g, h: _new(cls, (a, b, c, d, e, f, g, h)),
        lambda cls, a, b, c, d, e, f, g, h, i: _new(cls, (a, b, c, d, e, f, g, h, i)),
        lambda cls, a, b, c, d, e, f, g, h, i, j: _new(cls, (a, b, c, d, e, f, g, h, i, j)),
        lambda cls, a, b, c, d, e, f, g, h, i, j, k: _new(cls, (a, b, c, d, e, f, g, h, i, j, k)),
        lambda cls, a, b, c, d, e, f, g, h, i, j, k, m: _new(cls, (a, b, c, d, e, f, g, h, i, j, k, m)),
        lambda cls, a, b, c, d, e, f, g, h, i, j, k, m, n: _new(cls, (a, b, c, d, e, f, g, h, i, j, k, m, n)),
        lambda cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o: _new(
            cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o)
        ),
        lambda cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p: _new(
            cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o, p)
        ),
        lambda cls, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q: _new(
            cls, (a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q)
        ),
    )
    _Function = type(_CONSTRUCTORS[0])

    class _Tuple(tuple):
        __slots__ = ()
        _fields = ()
        _field_defaults = {}  # noqa: RUF012  as collections.namedtuple has it

        @classmethod
        def _make(cls, values):
            return cls(*values)

        def _replace(self, **changed):
            values = [changed.pop(name, value) for name, value in zip(self._fields, self, strict=True)]
            if changed:
                raise TypeError(f"{type(self).__name__} has no {', '.join(changed)}")
            return tuple.__new__(type(self), values)

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self):
            shown = (f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
            return f"{type(self).__name__}({', '.join(shown)})"

        def __getnewargs__(self):
            return tuple(self)

    class _Named(type):
        """Makes a subclass of NamedTuple a plain class of tuples with the fields that it annotates."""

        def __new__(cls, name, bases, body):
            if not bases:
                return super().__new__(cls, name, bases, body)
            fields = tuple(body.get("__annotations__", ()))
            defaults = {field: body[field] for field in fields if field in body}
            if tuple(defaults) != fields[len(fields) - len(defaults) :]:  # they would go to the wrong fields
                raise TypeError(f"{name} has a field without a default behind one with a default")
            getters = {field: _tuplegetter(place, None) for place, field in enumerate(fields)}
            code = _CONSTRUCTORS[len(fields)].__code__.replace(co_varnames=("cls", *fields))
            own = {
                "_fields": fields,
                "_field_defaults": defaults,
                "__match_args__": fields,
                "__slots__": (),
                "__new__": _Function(code, globals(), "__new__", tuple(defaults.values())),
            }
            return type(name, (_Tuple,), {**body, **own, **getters})

    class NamedTuple(metaclass=_Named):
        """The base of classes of tuples whose fields have names and types, as `typing.NamedTuple` is."""


__all__ = [
    "TYPE_CHECKING",
    "Any",
    "Callable",
    "Iterable",
    "Iterator",
    "Mapping",
    "NamedTuple",
    "Protocol",
    "Sequence",
]
