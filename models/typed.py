"""What our annotations need of `typing`, without importing it: a cold start would pay 2 ms for that.

A type checker sees `typing` itself. At run time annotations are never evaluated, a Protocol is an
empty base, and a NamedTuple is made without compiling a constructor for each class, which is what
`collections.namedtuple` takes its time for. What one can do with them is the same.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take this name for true

if TYPE_CHECKING:
    from typing import Any, NamedTuple, Protocol
else:
    from collections import _tuplegetter  # the C descriptor that namedtuple's own fields are
    from operator import itemgetter

    Any = object

    class Protocol:
        """A base that says nothing."""

    class _Tuple(tuple):
        __slots__ = ()
        _fields = ()
        _field_defaults = {}  # noqa: RUF012  as collections.namedtuple has it

        def __new__(cls, *values, **named):
            if named or len(values) != len(cls._fields):
                try:
                    complete = not values and len(named) == len(cls._fields)
                    values = cls._all(named) if complete else cls._complete(values, named)
                except KeyError:
                    values = cls._complete(values, named)
            return tuple.__new__(cls, values)

        @staticmethod
        def _all(named):
            raise KeyError(named)

        @classmethod
        def _complete(cls, values, named):
            given = dict(zip(cls._fields, values, strict=False))
            wrong = sorted((named.keys() & given.keys()) | (named.keys() - set(cls._fields)))
            if wrong or len(values) > len(cls._fields):
                came = f"{', '.join(wrong)} besides" if wrong else "more came than"
                raise TypeError(f"{cls.__name__}() takes {', '.join(cls._fields)}, each once: {came} these")
            given = {**cls._field_defaults, **given, **named}
            if missing := [name for name in cls._fields if name not in given]:
                raise TypeError(f"{cls.__name__}() needs {', '.join(missing)} too")
            return [given[name] for name in cls._fields]

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
            getters = {field: _tuplegetter(place, None) for place, field in enumerate(fields)}
            own = {"_fields": fields, "_field_defaults": defaults, "__match_args__": fields, "__slots__": ()}
            if len(fields) > 1:
                own["_all"] = itemgetter(*fields)  # all fields by name, taken at once
            return type(name, (_Tuple,), {**body, **own, **getters})

    class NamedTuple(metaclass=_Named):
        """The base of classes of tuples whose fields have names and types, as `typing.NamedTuple` is."""


__all__ = ["Any", "NamedTuple", "Protocol"]
