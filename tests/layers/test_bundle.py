import subprocess
import sys
import zipfile

import pytest

from layers import bundle

TREE = {
    "functions/__init__.py": '"""All."""',
    "functions/handlers/__init__.py": "",
    "functions/handlers/one.py": """
import json
import functions.direct
from functions import chosen
from functions.parts import first, VALUE
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from functions import typing_only
else:
    from functions import at_run_time
def handler(event, context):
    from functions.late import answer
    return answer()
""",
    "functions/direct.py": "",
    "functions/chosen.py": "from . import beside\nfrom .parts.second import two\n",
    "functions/beside.py": "import models.manifest\n",
    "functions/late.py": "def answer(): return 'late'\n",
    "functions/at_run_time.py": "",
    "functions/typing_only.py": "",
    "functions/unused.py": "",
    "functions/parts/__init__.py": "VALUE = 1\n",
    "functions/parts/first.py": "",
    "functions/parts/second.py": "two = 2\n",
    "functions/parts/third.py": "",
    "models/__init__.py": "",
    "models/manifest.py": "import functions.parts\n",
    "infra/__init__.py": "",
}
WANTED = {
    "functions",
    "functions.at_run_time",
    "functions.beside",
    "functions.chosen",
    "functions.direct",
    "functions.handlers",
    "functions.handlers.one",
    "functions.late",
    "functions.parts",
    "functions.parts.first",
    "functions.parts.second",
    "models",
    "models.manifest",
}


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    for name, source in TREE.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return root


def test_it_holds_what_the_handler_imports_and_no_more(tree):
    assert set(bundle.modules("functions.handlers.one", tree)) == WANTED


def test_the_zip_runs_with_nothing_else_on_the_path(tree, tmp_path, python):
    archive = bundle.build("functions.handlers.one", tmp_path, python, tree)
    folder = tmp_path / "task"
    zipfile.ZipFile(archive.path).extractall(folder)
    script = (
        "import sys; sys.path[:0] = [sys.argv[1]];"
        "from functions.handlers import one; print(one.handler({}, None), one.__cached__)"
    )
    command = [sys.executable, "-I", "-S", "-c", script, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer, cached = done.stdout.split()
    assert answer == "late"
    assert (folder / cached).is_file()


def test_a_real_module_of_ours_imports_from_its_zip_alone(tmp_path, python):
    name = "functions.metering.ledger"
    archive = bundle.build(name, tmp_path, python)
    sources = {file for file in archive.files if file.endswith(".py")}
    assert sources == {
        "functions/__init__.py",
        "functions/metering/__init__.py",
        "functions/metering/event.py",
        "functions/metering/ledger.py",
        "models/__init__.py",
        "models/digests.py",
        "models/typed.py",
    }
    folder = tmp_path / "task"
    zipfile.ZipFile(archive.path).extractall(folder)
    script = f"import sys; sys.path[:0] = [sys.argv[1]]; import {name} as module; print(module.__file__)"
    command = [sys.executable, "-I", "-S", "-c", script, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(folder / "functions/metering/ledger.py")


def test_what_imports_find_is_what_python_loads(tmp_path):
    name = "functions.preprocess.kinds"
    script = (
        f"import sys, {name}; print(*(m for m in sys.modules if m.split('.')[0] in ('functions', 'models')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=bundle.ROOT, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) <= set(bundle.modules(name))


def test_the_bytecode_bears_the_place_where_it_will_lie(tree, tmp_path, python):
    archive = bundle.build("functions.handlers.one", tmp_path, python, tree)
    (name,) = [name for name in archive.files if "/late." in name and name.endswith(".pyc")]
    data = zipfile.ZipFile(archive.path).read(name)
    assert b"/var/task/functions/late.py" in data
    assert str(tmp_path).encode() not in data
    assert int.from_bytes(data[4:8], "little") == 0b01


def test_building_it_again_gives_the_same_bytes_and_a_change_others(tree, tmp_path, python):
    first = bundle.build("functions.handlers.one", tmp_path / "a", python, tree).path.read_bytes()
    assert bundle.build("functions.handlers.one", tmp_path / "b", python, tree).path.read_bytes() == first
    (tree / "functions/unused.py").write_text("changed = True")
    assert bundle.build("functions.handlers.one", tmp_path / "c", python, tree).path.read_bytes() == first
    (tree / "functions/late.py").write_text("def answer(): return 'later'\n")
    assert bundle.build("functions.handlers.one", tmp_path / "d", python, tree).path.read_bytes() != first


def test_a_handler_or_a_module_of_ours_that_is_not_there_is_refused(tree):
    with pytest.raises(bundle.BundleError, match=r"functions\.handlers\.two is no module"):
        bundle.modules("functions.handlers.two", tree)
    (tree / "functions/direct.py").write_text("import functions.gone")
    with pytest.raises(bundle.BundleError, match=r"functions\.gone is no module"):
        bundle.modules("functions.handlers.one", tree)


@pytest.mark.parametrize(
    "call", ["importlib.import_module(name)", "import_module('a.b')", "__import__(name)"]
)
def test_an_import_that_cannot_be_followed_is_refused(tree, call):
    (tree / "functions/late.py").write_text(f"import importlib\ndef answer(name):\n    return {call}\n")
    with pytest.raises(bundle.BundleError, match=r"functions\.late, line 3"):
        bundle.modules("functions.handlers.one", tree)


def test_the_operators_side_is_never_in_it(tree):
    (tree / "functions/late.py").write_text("import infra\n")
    assert not [name for name in bundle.modules("functions.handlers.one", tree) if name.startswith("infra")]
