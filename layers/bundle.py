"""A handler as a zip: the module, every module of ours that it imports, and nothing else.

Imports are followed in the source, also those inside functions, so a handler needs no list of its
parts and drags in none of what it does not use. What the source can't tell (a module imported by a
computed name) is refused. Imports that only a type checker sees are not followed. A package's
`__init__.py` goes along, as Python runs it.

A handler in CLIENTS gets that runtime client of ours as well, and a script that starts it: Lambda
runs the script in place of its own client where AWS_LAMBDA_EXEC_WRAPPER names it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

from layers.archive import Archive, write
from layers.bytecode import compiled

ROOT = Path(__file__).resolve().parents[1]
OURS = ("functions", "models")  # infra and layers are the operator's side and never run in a function
PLACE = "/var/task"
CLIENTS = {"functions.handlers.predict": "functions.aws.runtime"}
START = "start"
WRAPPER = f"{PLACE}/{START}"
# docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html: it is given the command that it stands in for.
# Python's -I and -S leave out PYTHONPATH and site-packages: all that is needed lies in the zip, beside the
# script (at PLACE, or wherever somebody else unpacked it).
SCRIPT = """#!/bin/sh
exec "$1" -I -S -c '
import sys
sys.path.append(sys.argv[1])
from {client} import main
def load():
    from {handler} import handler
    return handler
main(load)
' "${{0%/*}}"
"""


class BundleError(Exception):
    """A handler whose parts can't be told from its source."""


def build(handler: str, folder: Path, python: str, root: Path = ROOT) -> Archive:
    """Write `<last part of handler>.zip` for a handler module such as `functions.handlers.predict`."""
    client = CLIENTS.get(handler)
    found = modules(handler, root) | (modules(client, root) if client else {})
    files = {str(path.relative_to(root)): path.read_bytes() for path in found.values()}
    complete, notes = compiled(files, python, PLACE)
    if client:
        complete[START] = SCRIPT.format(client=client, handler=handler).encode()
    return write(handler.rsplit(".", 1)[-1], complete, folder, notes, {START})


def modules(handler: str, root: Path = ROOT, packages: Sequence[str] = OURS) -> dict[str, Path]:
    """The modules of `packages` that importing `handler` runs or may run, by name, with their files."""
    found: dict[str, Path] = {}
    waiting = [handler]
    while waiting:
        name = waiting.pop()
        path = _file(name, root)
        if path is None:
            raise BundleError(f"{name} is no module below {root.name}/ (wanted by {handler})")
        if name in found:
            continue
        found[name] = path
        waiting += _parents(name)
        waiting += [one for one in _imports(name, path, root) if one.split(".")[0] in packages]
    return dict(sorted(found.items()))


def _file(name: str, root: Path) -> Path | None:
    """The source of a module or of a package's `__init__`."""
    path = root.joinpath(*name.split("."))
    for candidate in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def _imports(name: str, path: Path, root: Path) -> Iterator[str]:
    """Full names of what a module imports; a name taken from a package may be a module or not."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in _run(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            yield base
            inside = (f"{base}.{alias.name}" for alias in node.names)
            yield from (one for one in inside if _file(one, root))
        elif isinstance(node, ast.Call) and _called(node.func) in ("import_module", "__import__"):
            raise BundleError(
                f"{name}, line {node.lineno}: imports a module by a computed name, which can't be followed. "
                "Name it in an import statement (inside the function, if it has to come late)"
            )


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and _called(node.test) == "TYPE_CHECKING":
            for other in node.orelse:
                yield other
                yield from _run(other)
        else:
            yield node
            yield from _run(node)


def _called(node: ast.AST) -> str:
    """The last part of a dotted name."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """The full name that a (perhaps relative) `from … import` names."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])
