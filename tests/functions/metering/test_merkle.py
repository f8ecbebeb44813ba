"""Trees and inclusion paths, against Certificate Transparency's published vectors and the RFC's own words."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.metering.merkle import Tree, leaf_hash, root_from_path, root_hash, root_of

# Entries, roots of the first 1 to 8 of them, nodes and inclusion paths as certificate-transparency,
# transparency-dev/merkle and golang.org/x/mod/sumdb/tlog publish them for RFC 6962 (unchanged in RFC 9162).
ENTRIES = [
    bytes.fromhex(text)
    for text in (
        *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
A, B, E = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
)
AB, CD, GH = (
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
)
ABCD, EFGH = (
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
)
PATHS = {(0, 8): [B, CD, EFGH], (5, 8): [E, GH, ABCD], (2, 3): [AB], (1, 5): [A, CD, E], (0, 1): []}


def naive_root(entries):
    """RFC 9162, 2.1.1, word for word."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\0" + entries[0]).digest()
    split = 1
    while split * 2 < len(entries):
        split *= 2
    return sha256(b"\1" + naive_root(entries[:split]) + naive_root(entries[split:])).digest()


def naive_path(index, entries):
    """RFC 9162, 2.1.3.1, word for word."""
    if len(entries) < 2:
        return []
    split = 1
    while split * 2 < len(entries):
        split *= 2
    if index < split:
        return [*naive_path(index, entries[:split]), naive_root(entries[split:])]
    return [*naive_path(index - split, entries[split:]), naive_root(entries[:split])]


@pytest.mark.parametrize("size", range(9))
def test_the_published_roots(size):
    assert root_hash(ENTRIES[:size]).hex() == ROOTS[size]


@pytest.mark.parametrize("of", PATHS)
def test_the_published_paths(of):
    index, size = of
    leaves = [*map(leaf_hash, ENTRIES[:size])]
    assert [node.hex() for node in Tree(leaves).path(index)] == PATHS[of]
    path = map(bytes.fromhex, PATHS[of])
    assert root_from_path(leaves[index], index, size, path).hex() == ROOTS[size]


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=70), st.data())
def test_roots_and_paths_are_those_of_the_rfc(entries, data):
    leaves = [*map(leaf_hash, entries)]
    assert root_hash(entries) == root_of(leaves) == naive_root(entries)
    index = data.draw(st.integers(0, len(entries) - 1))
    path = Tree(leaves).path(index)
    assert path == naive_path(index, entries)
    assert root_from_path(leaves[index], index, len(entries), path) == naive_root(entries)


@pytest.mark.parametrize("size", range(1, 9))
def test_a_path_proves_one_leaf_at_one_place_in_a_tree_of_one_size(size):
    leaves = [*map(leaf_hash, ENTRIES[:size])]
    root = root_of(leaves)
    for index, leaf in enumerate(leaves):
        path = Tree(leaves).path(index)
        for other in range(-1, 10):
            for others_size in range(10):
                found = root_from_path(leaf, other, others_size, path)
                assert (
                    (found == root) == ((other, others_size) == (index, size))
                    or found != root
                    or (_same_turns(index, size, other, others_size))
                )
        assert root_from_path(leaf_hash(b"other"), index, size, path) != root
        assert root_from_path(leaf, index, size, [*path, leaf]) != root
        for at, node in enumerate(path):
            changed = bytes([node[0] ^ 1]) + node[1:]
            assert root_from_path(leaf, index, size, [*path[:at], changed, *path[at + 1 :]]) != root
            assert root_from_path(leaf, index, size, path[:at]) != root


def _same_turns(index, size, other, others_size):
    """Whether two places have paths of the same shape: then only the signed size tells the trees apart."""
    return _turns(index, size) == _turns(other, others_size)


def _turns(index, size):
    if not 0 <= index < size:
        return None
    turns = []
    while size > 1:
        split = 1
        while split * 2 < size:
            split *= 2
        turns.insert(0, index < split)
        index, size = (index, split) if index < split else (index - split, size - split)
    return turns


@pytest.mark.parametrize("index", [-1, 3])
def test_there_is_no_path_outside_of_the_tree(index):
    with pytest.raises(IndexError):
        Tree([leaf_hash(b"")] * 3).path(index)
