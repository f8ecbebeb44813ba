"""The one LiteRT build that was tried is found, and no other is accepted."""

import os
import shutil
import sys

import pytest

from functions.inference import library
from functions.inference.library import LIBRARY_VARIABLE, PACKAGE_LIBRARY, Library, LibraryError, find_library


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.delenv(LIBRARY_VARIABLE, raising=False)
    return find_library()


def test_it_finds_the_installed_library(installed):
    assert installed.endswith(PACKAGE_LIBRARY)


def test_the_environment_comes_first(installed, monkeypatch):
    monkeypatch.setenv(LIBRARY_VARIABLE, "/elsewhere/libLiteRt.so")
    assert find_library() == "/elsewhere/libLiteRt.so"


def test_the_layer_comes_before_the_package(installed, monkeypatch, tmp_path):
    shutil.copy(installed, tmp_path)
    monkeypatch.setattr(library, "LAYER_LIBRARY", str(tmp_path / "libLiteRt.so"))
    assert find_library() == str(tmp_path / "libLiteRt.so")


def test_without_any_it_says_what_to_install(installed, monkeypatch):
    monkeypatch.setattr(sys, "path", ["/nowhere"])
    monkeypatch.setattr(library, "LAYER_LIBRARY", "/nowhere/libLiteRt.so")
    with pytest.raises(LibraryError, match=r"pip install ai-edge-litert==2\.3\.0"):
        find_library()


def test_a_copy_elsewhere_is_the_same_build(installed, tmp_path):
    shutil.copy(installed, tmp_path)
    assert Library(str(tmp_path / "libLiteRt.so")).environment


def test_another_build_is_refused(installed, monkeypatch, tmp_path):
    name = os.uname().machine
    *rest, last = library.BUILDS[name]
    monkeypatch.setitem(library.BUILDS, name, (*rest, last + 16))
    with pytest.raises(LibraryError, match=r"is not the library of ai-edge-litert 2\.3\.0"):
        Library(installed)


def test_another_cpu_is_refused(installed, monkeypatch):
    monkeypatch.delitem(library.BUILDS, os.uname().machine)
    with pytest.raises(LibraryError, match="is not the library"):
        Library(installed)


def test_what_is_no_litert_library_is_refused(installed, tmp_path):
    other = installed.replace("libLiteRt.so", "_pywrap_string_util.so")
    (tmp_path / "text.so").write_text("not a library")
    for path in (other, str(tmp_path / "text.so"), str(tmp_path / "missing.so")):
        with pytest.raises(LibraryError, match=r"can't be loaded as LiteRT 2\.3\.0"):
            Library(path)
