"""The catalog: every entry is complete, and a wrong model.toml says where it is wrong."""

from pathlib import Path

import pytest

from models.catalog.entries import CATALOG, EntryError, UnknownEntry, folder_of, load_entry, parse_entry
from models.convert.kinds import SOURCES
from models.families.kinds import FAMILIES
from models.parity import LABELLING, RESEMBLANCE
from models.quantize import QUANTIZATIONS

# Answers that are neither a label nor a vector.
WITHOUT_LABELS = ("recommendation",)

TEXT = (Path(folder_of("sentiment")) / "model.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CATALOG)
def test_entries_name_only_what_there_is(name: str) -> None:
    entry = load_entry(name)
    assert entry.family in FAMILIES
    assert entry.source in SOURCES
    assert entry.task in {*LABELLING, *RESEMBLANCE, *WITHOUT_LABELS}
    assert bool(entry.labels) == (entry.task in {*LABELLING, "detection"})
    assert entry.gates.keys() <= QUANTIZATIONS.keys()
    assert entry.licence
    assert all(len(data.sha256) == 64 for data in entry.data.values())
    assert all(gate.min_rows >= 100 for gate in entry.gates.values())


def test_every_folder_of_the_catalog_is_an_entry() -> None:
    catalog = Path(folder_of("sentiment")).parent
    assert {path.parent.name for path in catalog.glob("*/model.toml")} == {
        package.rpartition(".")[2] for package in CATALOG.values()
    }


def test_an_unknown_entry_says_what_there_is() -> None:
    with pytest.raises(UnknownEntry, match=r"no model 'other' \(it has: .*sentiment"):
        load_entry("other")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('family = "lstm"', "", "lacks 'family'"),
        ("call = ", "cal = ", "lacks 'call'"),
        ("max_instances = 64", "max_instances = 0", "max_instances is 0"),
        ("max_instances = 64", 'max_instances = "many"', "max_instances is 'many'"),
        ("max_diff = 1e-5", "max_dif = 1e-5", "max_dif"),
        ("[training]", "[training", "is no TOML"),
        ('version = "0.0.2"', "", "version"),
        ("[gate.", "[gates.", "lacks 'gate'"),
    ],
)
def test_a_wrong_entry_says_where_it_is_wrong(old: str, new: str, complaint: str) -> None:
    assert old in TEXT
    with pytest.raises(EntryError, match=r"here/model\.toml") as error:
        parse_entry("sentiment", TEXT.replace(old, new), "here/model.toml")
    assert complaint in str(error.value)
