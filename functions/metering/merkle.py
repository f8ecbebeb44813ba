"""Merkle trees as seals have them: RFC 9162, section 2.1, with SHA-256.

Leaves and nodes are hashed apart (a leading 0 or 1), so that nobody can pass a node off as a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256


def leaf_hash(data: bytes) -> bytes:
    """The hash of one entry."""
    return sha256(b"\0" + data).digest()


def root_hash(entries: Iterable[bytes]) -> bytes:
    """The root over entries in their order; of none it is the hash of nothing."""
    return root_of(map(leaf_hash, entries))


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over leaf hashes in their order.

    Whole subtrees are folded as they fill up, so only one hash a level is held.
    """
    stack: list[bytes] = []
    for number, leaf in enumerate(leaves):
        node = leaf
        while number & 1:
            node = _node_hash(stack.pop(), node)
            number >>= 1  # noqa: PLW2901  a bit is set for each full subtree
        stack.append(node)
    if not stack:
        return sha256(b"").digest()
    root = stack.pop()
    while stack:
        root = _node_hash(stack.pop(), root)
    return root


class Tree:
    """A tree with all its nodes, from which inclusion paths are read; 64 bytes a leaf and as much again."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        """Build the levels; a node without a sibling moves up as it is."""
        self._levels = [list(leaves)]
        while len(below := self._levels[-1]) > 1:
            paired = [_node_hash(a, b) for a, b in zip(below[::2], below[1::2], strict=False)]
            self._levels.append(paired + below[len(paired) * 2 :])

    def path(self, index: int) -> list[bytes]:
        """The inclusion path of a leaf (section 2.1.3.1), from the bottom up; IndexError."""
        if not 0 <= index < len(self._levels[0]):
            raise IndexError(index)
        found = []
        for level in self._levels[:-1]:
            if (sibling := index ^ 1) < len(level):
                found.append(level[sibling])
            index >>= 1
        return found


def root_from_path(leaf: bytes, index: int, size: int, path: Iterable[bytes]) -> bytes | None:
    """The root that an inclusion path leads to (section 2.1.3.2); None where it can't be one of that size."""
    if not 0 <= index < size:
        return None
    here, last, node = index, size - 1, leaf
    for sibling in path:
        if not last:
            return None
        if here & 1 or here == last:
            node = _node_hash(sibling, node)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            node = _node_hash(node, sibling)
        here, last = here >> 1, last >> 1
    return None if last else node


def _node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()
