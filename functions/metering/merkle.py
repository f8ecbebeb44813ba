"""The Merkle tree that a seal's root comes from: RFC 9162, section 2.1, with SHA-256.

Leaves and nodes are hashed apart (a leading 0 or 1), so that nobody can pass a node off as a row.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256


def leaf_hash(data: bytes) -> bytes:
    """The hash of one entry."""
    return sha256(b"\0" + data).digest()


def root_hash(entries: Iterable[bytes]) -> bytes:
    """The root over entries in their order; of none it is the hash of nothing.

    Whole subtrees are folded as they fill up, so only one hash a level is held.
    """
    stack: list[bytes] = []
    for number, entry in enumerate(entries):
        node = leaf_hash(entry)
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


def _node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()
