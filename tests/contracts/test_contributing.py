"""CONTRIBUTING's worked example does what it says: put into a copy of the tree, it runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"(?P<before>(?:(?!```).)*?)```python\n(?P<code>.*?)```", re.DOTALL)
FILE = re.compile(r"`(models/[\w/]+\.py)`")
LINE = re.compile(r"in\s+`(\w+)`\s+of\s+`(models/[\w/]+\.py)`")


def blocks() -> list[tuple[str, str]]:
    """What is said before each block of the example, and the block."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    example = text.partition("## A new family, step by step\n")[2].partition("\n## ")[0]
    return [(found["before"], found["code"]) for found in BLOCK.finditer(example)]


def test_a_new_family_is_one_file_and_one_line(tmp_path: Path) -> None:
    for part in ("models", "functions"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    *steps, (_, proof) = blocks()
    written, entered = [], []
    for before, code in steps:
        if line := LINE.search(before):
            name, path = line.groups()
            place = tmp_path / path
            text = place.read_text("utf-8")
            assert text.count(f"\n{name} = {{\n") == 1
            place.write_text(text.replace(f"\n{name} = {{\n", f"\n{name} = {{\n{code}"), "utf-8")
            entered.append(path)
        else:
            (path,) = FILE.findall(before)
            assert not (tmp_path / path).exists()
            (tmp_path / path).write_text(code, "utf-8")
            written.append(path)
    assert written == ["models/families/boosting.py", "models/convert/scikit/centroids.py"]
    assert entered == ["models/families/kinds.py", "models/convert/scikit/kinds.py"]
    done = subprocess.run(
        [sys.executable, "-c", proof],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
