"""What packages weigh in an environment."""

import subprocess
from importlib.metadata import Distribution
from pathlib import Path


def site_packages(python: Path) -> str:
    """Where an interpreter has its packages."""
    command = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def name_of(one: Distribution) -> str:
    """Its normal name."""
    return one.metadata["Name"].lower().replace("_", "-")


def size_of(one: Distribution) -> int:
    """Bytes it installed, without bytecode."""
    paths = (Path(str(file.locate())) for file in one.files or ())
    return sum(path.stat().st_size for path in paths if path.suffix != ".pyc" and path.is_file())
