from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from layers import runtime, web
from layers.archive import Archive

# The functions of these tests run on the Python that runs the tests.
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(scope="session")
def python() -> str:
    return PYTHON


@pytest.fixture(scope="session")
def runtime_layer(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return runtime.build(tmp_path_factory.mktemp("runtime"), "x86_64")


@pytest.fixture(scope="session")
def web_layer(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return web.build(tmp_path_factory.mktemp("web"), PYTHON, "x86_64")


@pytest.fixture
def unpack(tmp_path: Path):
    """Unpack zips over one another, as Lambda does with layers; gives the folder."""

    def unpacked(*archives: Archive) -> Path:
        folder = tmp_path / "unpacked"
        for archive in archives:
            with zipfile.ZipFile(archive.path) as file:
                file.extractall(folder)
        return folder

    return unpacked
