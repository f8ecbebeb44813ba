"""The catalog: each entry's model.toml as typed, checked settings, and the way to its train.py.

A new entry is one folder with these two files, and one line in CATALOG. Its URL data may lie in the
cache beforehand, where there is no way out (`Workspace.data`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, cast

from models.data import DataFile, PackageFile, UrlArchive, UrlFile
from models.manifest import Gate
from models.trained import Trainer

CATALOG = {
    "diagnosis": "models.catalog.diagnosis",
    "diagnosis-svm": "models.catalog.diagnosis_svm",
    "digits": "models.catalog.digits",
    "embed": "models.catalog.embed",
    "fraud": "models.catalog.fraud",
    "locate": "models.catalog.locate",
    "power-demand": "models.catalog.power_demand",
    "recommend": "models.catalog.recommend",
    "sentiment": "models.catalog.sentiment",
    "sentiment-svm": "models.catalog.sentiment_svm",
    "sentiment-transformer": "models.catalog.sentiment_transformer",
    "speaker": "models.catalog.speaker",
    "spoken-digits": "models.catalog.spoken_digits",
}


class UnknownEntry(KeyError):
    """The catalog has no entry of this name."""

    def __str__(self) -> str:
        return str(self.args[0])


class EntryError(ValueError):
    """A model.toml that lacks something or says something wrong; the message names file and place."""


class Reference(NamedTuple):
    """A published figure to print beside ours, and why the two do not compare directly."""

    name: str
    value: float
    note: str


class Entry(NamedTuple):
    """What model.toml says. `data`, `split`, `encoding` and `training` decide what is learnt.

    `gates` has one gate for each quantization that is to be tried. `training` are the parameters
    of the family, `encoding` those of the preprocessing, `split` how rows are held out. `call` is what
    curl's -d is given, as one types it in a shell, and `remark` what is to be said beside the figure, with
    the facts of the training in braces.
    """

    name: str
    title: str
    family: str
    source: str
    task: str
    labels: tuple[str, ...]
    max_instances: int
    licence: str
    data: dict[str, DataFile]
    split: dict[str, Any]
    encoding: dict[str, Any]
    training: dict[str, Any]
    gates: dict[str, Gate]
    references: tuple[Reference, ...]
    call: str
    remark: str

    @property
    def package(self) -> str:
        """The Python package that holds the entry's train.py."""
        return CATALOG[self.name]

    def trainer(self) -> Trainer:
        """Import the entry's train.py, and with it its framework."""
        return cast(Trainer, import_module(f"{self.package}.train"))


def load_entry(name: str) -> Entry:
    """Read an entry; UnknownEntry says what there is, EntryError what is wrong with it."""
    if name not in CATALOG:
        raise UnknownEntry(f"the catalog has no model {name!r} (it has: {', '.join(sorted(CATALOG))})")
    path = folder_of(name) / "model.toml"
    return parse_entry(name, path.read_text(encoding="utf-8"), str(path))


def folder_of(name: str) -> Path:
    """The folder of an entry."""
    return Path(cast(str, import_module(CATALOG[name]).__file__)).parent


def parse_entry(name: str, text: str, where: str) -> Entry:
    """Check the text of a model.toml; `where` is its path for messages."""
    try:
        document = tomllib.loads(text)
        entry = Entry(
            name=name,
            title=document["title"],
            family=document["family"],
            source=document["source"],
            task=document["task"],
            labels=tuple(document["labels"]),
            max_instances=document["max_instances"],
            licence=document["licence"],
            data={key: _data_file(value) for key, value in document.get("data", {}).items()},
            split=document.get("split", {}),
            encoding=document.get("encoding", {}),
            training=document["training"],
            gates={key: Gate(**value) for key, value in document["gate"].items()},
            references=tuple(Reference(**item) for item in document.get("references", ())),
            call=document["call"],
            remark=document.get("remark", ""),
        )
    except tomllib.TOMLDecodeError as error:
        raise EntryError(f"{where} is no TOML: {error}") from error
    except KeyError as error:
        raise EntryError(f"{where} lacks {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise EntryError(f"{where}: {error}") from error
    if not entry.gates:
        raise EntryError(f"{where} has no [gate.<quantization>]: at least one was expected")
    if not isinstance(entry.max_instances, int) or entry.max_instances < 1:
        raise EntryError(f"{where}: max_instances is {entry.max_instances!r}, a number from 1 was expected")
    return entry


def _data_file(value: Mapping[str, str]) -> DataFile:
    if "url" in value:
        return UrlArchive(**value) if "folder" in value else UrlFile(**value)
    return PackageFile(**value)
