"""The head of a request that its connection has sent before: a client says the same on each call.

Its parsing is what costs a small call most: twenty times it calls from C into Python. A head that is byte for
byte one that the parser has read says what that one said, and only what VARYING names is read anew.
So nothing here decides what HTTP means: a request that differs in any other byte is left to the parser.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

VARYING = (b"content-length", b"idempotency-key")
LENGTH = VARYING[0].decode()
# A request with one of these does not end where its length says, or asks for more than an answer.
SPECIAL = frozenset((b"transfer-encoding", b"expect", b"upgrade"))
MAX_HEAD = 4096  # more than any client says; what is kept is kept for each connection
MAX_VALUE = 255
_VISIBLE = bytes(range(0x21, 0x7F))
_LINE = re.compile(rb"\r\n(%b):[ \t]*([!-~]{1,%d})(?=\r\n)" % (b"|".join(VARYING), MAX_VALUE), re.IGNORECASE)
_END = b"\r\n\r\n"


class Head:
    """A head as it was sent, cut where a value varies, and what the parser made of it."""

    __slots__ = ("_headers", "_pieces", "_start", "method", "model", "path")

    def __init__(
        self,
        start: bytes,
        pieces: Sequence[tuple[str, bytes]],
        headers: Mapping[str, str],
        method: str,
        path: str,
        model: str,
    ) -> None:
        """Made by `learn`. Each piece is the name of what varies before it, and what is sent behind that."""
        self._start = start
        self._pieces = pieces
        self._headers = headers
        self.method = method
        self.path = path
        self.model = model

    def read(self, data: bytes) -> tuple[Mapping[str, str], bytes] | None:
        """Headers and body of one whole request behind this head, and nothing else; None for all the rest."""
        if not data.startswith(self._start):
            return None
        at, length, headers = len(self._start), b"", self._headers
        for name, piece in self._pieces:
            end = data.find(piece, at, at + MAX_VALUE + len(piece))
            value = data[at:end]
            if end <= at or value.translate(None, _VISIBLE):
                return None
            if name == LENGTH:
                length = value
            else:
                headers = {**headers, name: value.decode("ascii")}
            at = end + len(piece)
        if len(length) > 7 or not length.isdigit() or int(length) != len(data) - at:
            return None
        return headers, data[at:]


def learn(
    data: bytes, names: Sequence[bytes], headers: Mapping[str, str], method: str, path: str, model: str
) -> Head | None:
    """The head of the request that `data` is, which the parser took for one of these; None if it is no model.

    `names` are its headers' names in lower case, in the order in which they came.
    """
    size = data.find(_END) + len(_END)
    head = data[:size]
    lines = {head.count(b"\n"), head.count(b"\r\n"), len(names) + 2}
    if not len(_END) <= size <= MAX_HEAD or len(lines) > 1 or not SPECIAL.isdisjoint(names):
        return None
    found = [*_LINE.finditer(head)]
    varying = [match[1].lower() for match in found]
    if varying != [name for name in names if name in VARYING] or varying.count(VARYING[0]) != 1:
        return None
    if len(set(varying)) < len(varying) or len(data) - size != int(headers[LENGTH]):
        return None
    ends = [*[match.start(2) for match in found[1:]], size]
    pieces = [
        (name.decode(), head[match.end(2) : end])
        for name, match, end in zip(varying, found, ends, strict=True)
    ]
    kept = {name: value for name, value in headers.items() if name != LENGTH}
    return Head(head[: found[0].start(2)], pieces, kept, method, path, model)
