"""The bytes that hashes take, against the library's own JSON, and the receipt, against sha256sum."""

import json
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.metering.canonical import BILLED_FIELDS, canonical_row, receipt_of
from functions.metering.event import UsageEvent
from functions.metering.merkle import leaf_hash

TEXT = st.text(max_size=20)
NUMBER = st.integers(0, 2**53)
ROWS = st.builds(
    UsageEvent,
    call_id=TEXT, attempts=st.just(("a",)), key_id=TEXT, customer=TEXT, plan=TEXT, model=TEXT, version=TEXT,
    kind=TEXT, units=NUMBER, bytes_in=NUMBER, started_at=st.integers(0, 4 * 10**12), fingerprint=TEXT,
    nonce=TEXT,
)  # fmt: skip
ROW = UsageEvent(
    "gw:1", ("1",), "key_1", "cus_a", "starter@01", "sentiment", "1", "predict", 2, 40, 1_795_435_200_000, "",
    nonce="00ff",
)  # fmt: skip


@given(ROWS)
def test_it_is_json_with_its_keys_sorted_whatever_the_row_holds(row):
    fields = {name: getattr(row, name) for name in BILLED_FIELDS if name != "nonce" or row.nonce}
    assert canonical_row(row) == json.dumps(fields, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def test_a_receipt_is_the_leaf_of_the_seals_tree_under_the_calls_utc_day():
    assert receipt_of(ROW) == f"2026-11-23.{leaf_hash(canonical_row(ROW)).hex()}"


@pytest.mark.parametrize("name", BILLED_FIELDS)
def test_a_receipt_depends_on_every_field_that_is_billed(name):
    value = getattr(ROW, name)
    assert receipt_of(ROW._replace(**{name: value + 1 if isinstance(value, int) else value + "1"})) != (
        receipt_of(ROW)
    )


def test_a_replay_and_a_revision_change_no_receipt():
    assert receipt_of(ROW._replace(attempts=("1", "2"), revision=7)) == receipt_of(ROW)


def test_a_row_from_before_receipts_hashes_as_it_did():
    assert b"nonce" not in canonical_row(ROW._replace(nonce=""))


def test_whoever_has_the_row_can_check_its_receipt_without_us():
    tool = shutil.which("sha256sum")
    assert tool
    said = subprocess.run([tool], input=b"\0" + canonical_row(ROW), capture_output=True, check=True).stdout
    assert receipt_of(ROW) == f"2026-11-23.{said.decode().split()[0]}"
