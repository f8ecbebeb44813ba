"""Seals of one machine: what is under them, once, whatever comes when; and proofs out of them."""

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from functions.metering.archive import ArchiveDamaged
from functions.metering.canonical import canonical_row, receipt_of
from functions.metering.heads import Head
from functions.metering.merkle import leaf_hash, root_from_path
from functions.metering.proofs import Pending, Proof, Proofs
from functions.metering.sealing import Sealer
from functions.metering.seals import Seals, index_name, object_name
from functions.metering.signing import FolderSigner, is_signed
from functions.metering.sqlite import SqliteLedger
from functions.metering.sqlite_usage import SqliteUsage
from functions.metering.usage import day_of
from models.store import LocalStore

ROOT = Path(__file__).parents[3]
NOON = 1_800_000_000_000
DAY = day_of(NOON)
HOUR = 3600 * 1000
SETTLED = NOON - NOON % (24 * HOUR) + (24 + 27) * HOUR


class Shop:
    def __init__(self, folder):
        self.folder = folder
        self.ledger = SqliteLedger(str(folder / "ledger.db"))
        self.usage = SqliteUsage(str(folder / "ledger.db"))
        self.seals = Seals(LocalStore(folder))
        self.sealer = Sealer(self.seals, self.usage, FolderSigner(folder / "sealing-keys"))
        self.proofs = Proofs(self.seals, self.ledger.get)

    def write(self, *events):
        return [ticket.outcome().row for ticket in [self.ledger.append(event) for event in events]]

    def sealed(self):
        rows = self.seals.rows(self.seals.of_day(DAY))
        assert len({row.call_id for row in rows}) == len(rows)
        return sorted(row.call_id for row in rows)


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path)
    yield made
    made.usage.close()
    made.ledger.close()


def leaves(*rows):
    found = {}
    for row in rows:
        found.setdefault(row.customer, set()).add(leaf_hash(canonical_row(row)))
    return found


def test_a_day_is_sealed_when_it_has_settled_and_once(shop, make_event):
    rows = shop.write(make_event(), make_event(customer="cus_b"), make_event())
    shop.ledger.void(rows[2].call_id, rows[2].attempts[0])
    assert shop.sealer.due(SETTLED - 1) == []
    assert shop.sealer.due(SETTLED) == [DAY]
    seal = shop.sealer.seal(DAY)
    assert (seal.void, {c: head.size for c, head in seal.customers.items()}) == (1, {"cus_a": 1, "cus_b": 1})
    assert shop.sealer.due(SETTLED) == []
    assert shop.sealer.seal(DAY) == seal
    assert shop.seals.names("") == [DAY]


def test_days_are_found_without_reading_every_row(shop, make_event):
    days = [NOON + n * 24 * HOUR for n in (0, 1, 40, 400)]
    shop.write(*(make_event(started_at=at + n) for at in days for n in range(3)))
    assert shop.usage.days() == [day_of(at) for at in days]
    assert [len([*shop.usage.calls(day_of(at))]) for at in days] == [3, 3, 3, 3]


def test_what_is_sealed_early_is_in_no_later_seal(shop, make_event):
    early, other = shop.write(make_event(), make_event())
    assert shop.sealer.add(DAY, leaves(early)).name == f"{DAY}.1"
    assert shop.sealer.add(DAY, leaves(early)) is None
    (later,) = shop.write(make_event())
    assert shop.sealer.seal(DAY).rows == 2
    (late,) = shop.write(make_event())
    assert shop.sealer.add(DAY, leaves(late)).name == f"{DAY}.2"
    assert shop.sealed() == sorted(row.call_id for row in (early, other, later, late))
    assert shop.seals.days("") == set()  # no one seal holds the day whole


def test_a_call_that_failed_and_was_claimed_after_an_early_seal_is_sealed_as_it_became(shop, make_event):
    (other,) = shop.write(make_event())
    first = make_event(key="once")
    shop.write(first)
    shop.ledger.void(first.call_id, first.attempts[0])
    shop.sealer.add(DAY, leaves(other))
    (claimed,) = shop.write(make_event(key="once"))
    shop.sealer.seal(DAY)
    assert shop.sealed() == sorted((other.call_id, claimed.call_id))
    assert shop.proofs.find("cus_a", claimed.call_id).row == claimed


def test_a_proof_leads_from_the_receipt_to_the_signed_root(shop, make_event):
    rows = shop.write(*(make_event(started_at=NOON + n % 3) for n in range(9)))
    assert shop.proofs.find("cus_a", rows[4].call_id) == Pending(
        rows[4].call_id, receipt_of(rows[4]), SETTLED
    )
    shop.sealer.seal(DAY)
    (key,) = shop.seals.keys().values()
    for row in rows:
        found = shop.proofs.find("cus_a", row.call_id, DAY)
        assert isinstance(found, Proof)
        leaf = bytes.fromhex(receipt_of(row).partition(".")[2])
        assert root_from_path(leaf, found.place, 9, found.path).hex() == found.head.root
        assert is_signed(key.public_key, found.head.signature, found.head.signed())
        assert shop.proofs.find("cus_a", row.call_id).document() == found.document()


def test_a_proof_is_for_the_customer_whose_call_it_is(shop, make_event):
    mine, theirs, gone = shop.write(make_event(), make_event(customer="cus_b"), make_event())
    shop.ledger.void(gone.call_id, gone.attempts[0])
    for _ in range(2):
        assert shop.proofs.find("cus_a", mine.call_id)
        for day in (None, DAY):
            assert shop.proofs.find("cus_a", theirs.call_id, day) is None
            assert shop.proofs.find("cus_a", gone.call_id, day) is None
            assert shop.proofs.find("cus_a", "gw:none", day) is None
        shop.sealer.seal(DAY)


def test_a_replay_after_the_seal_changes_no_proof(shop, make_event):
    (row,) = shop.write(make_event(key="once"))
    shop.sealer.seal(DAY)
    before = shop.proofs.find("cus_a", row.call_id)
    shop.write(make_event(key="once"))
    assert shop.proofs.find("cus_a", row.call_id) == before


def flips(data):
    return (data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in range(len(data)))


def test_each_byte_of_a_seal_matters(shop, make_event):
    rows = shop.write(make_event(), make_event())
    seal = shop.sealer.seal(DAY)
    (head,) = seal.customers.values()
    (key,) = shop.seals.keys().values()
    index, stored = shop.folder / index_name(DAY), shop.folder / object_name(head)
    for path in (index, stored):
        data = path.read_bytes()
        for changed in flips(data):
            path.write_bytes(changed)
            try:
                seal = shop.seals.day(DAY)
                found = [seal.customers["cus_a"]]
                read = shop.seals.rows([seal])
            except (ArchiveDamaged, KeyError):  # another customer's name: the rows' own no longer fits
                continue
            sound = all(is_signed(key.public_key, one.signature, one.signed()) for one in found)
            same = [canonical_row(row) for row in read] == [canonical_row(row) for row in rows]
            assert not sound or same, changed
        path.write_bytes(data)


SEAL = """
import os, signal, sys
from models.store import LocalStore
from functions.metering.seals import Seals
from functions.metering.sealing import Sealer
from functions.metering.signing import FolderSigner
from functions.metering.sqlite_usage import SqliteUsage

folder, day, writes = sys.argv[1], sys.argv[2], int(sys.argv[3])

class Dying(LocalStore):
    def put(self, name, data):
        global writes
        if writes == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        writes -= 1
        super().put(name, data)

from pathlib import Path
seals = Seals(Dying(Path(folder)))
with_rows = SqliteUsage(folder + "/ledger.db")
Sealer(seals, with_rows, FolderSigner(Path(folder, "sealing-keys"))).seal(day)
print("sealed")
"""


def test_kill_9_at_each_write_leaves_a_seal_or_none_and_the_next_run_the_same(shop, make_event):
    rows = shop.write(*(make_event(customer=f"cus_{n % 3}") for n in range(7)))
    for writes in range(10):
        command = [sys.executable, "-c", SEAL, str(shop.folder), DAY, str(writes)]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, env={**os.environ}, check=False
        )
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert shop.seals.names("") == []
    assert writes == 5  # the key, three customers, the index
    assert shop.sealed() == sorted(row.call_id for row in rows)
    heads = shop.seals.day(DAY).customers
    assert {customer: head.size for customer, head in heads.items()} == {"cus_0": 3, "cus_1": 2, "cus_2": 2}


def test_an_index_that_is_no_seal_says_so(shop, make_event):
    shop.write(make_event())
    shop.sealer.seal(DAY)
    (shop.folder / index_name(DAY)).write_text(json.dumps({"seal": DAY}))
    with pytest.raises(ArchiveDamaged, match="restore"):
        shop.seals.day(DAY)


def test_a_head_goes_by_the_bytes_that_any_language_can_make():
    said = json.loads(Head("2026-11-23.1", "cus_a", 2, "ab").signed())
    assert said == {
        "type": "payphone-seal/1",
        "seal": "2026-11-23.1",
        "day": "2026-11-23",
        "customer": "cus_a",
        "count": 2,
        "root": "ab",
    }


def test_two_who_seal_at_once_make_one_seal(shop, make_event):
    shop.write(*(make_event() for _ in range(20)))
    command = [sys.executable, "-c", SEAL, str(shop.folder), DAY, "1000"]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in running] == [b"sealed"] * 2
    assert shop.seals.names("") == [DAY]
    assert len(shop.sealed()) == 20


def test_an_open_ledger_is_read_while_it_is_written(shop, make_event):
    with closing(SqliteUsage(str(shop.folder / "ledger.db"))) as reader:
        shop.write(make_event())
        assert len([*reader.calls(DAY)]) == 1
