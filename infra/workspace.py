"""The state folder: everything one installation keeps, and where in it what lies.

    .payphone/
      models/        the registry: published model versions
      plans/         every plan version that was ever in force
      plans-in-force/ since when which of them is
      invoices/      the books: closed invoices, credit notes, and the rows they were made of
      ledger.db      usage rows: what invoices are made of; wallets and what calls hold of them
      keys.db        key records (never keys) and the plans in force
      customers.db   who the customers are; the one file with personal data
      seals/         signed roots over each day's calls, a customer at a time, and the public keys to them
      sealing-keys/  the private key that signs them; nothing that serves calls reads it
      webhooks.db    who is told of what, and what is on its way; webhooks.key encrypts the secrets in it
      access-log/    the server's own record of every answer
      data/          downloaded data, checked against pinned hashes; elsewhere with PAYPHONE_DATA=/a/folder
      build/         zips and templates of the last deploy; can be deleted
      work/          half-made artifacts; can be deleted when nothing is being trained
      logs/          what training and other child processes print

Only the owner may look into it: whoever can read the folder knows the customers.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from functions.access.sqlite import SqliteKeys
from functions.billing.books import Books
from functions.billing.plans import PlanBook
from functions.customers.sqlite import SqliteCustomers
from functions.metering.accesslog import FolderLog
from functions.metering.sealing import Sealer
from functions.metering.seals import Seals
from functions.metering.sqlite import SqliteLedger
from functions.metering.sqlite_accounts import SqliteAccounts
from functions.metering.sqlite_usage import SqliteUsage
from functions.webhooks.sqlite import FileVault, SqliteOutbox
from models.registry import Registry
from models.store import LocalStore

if TYPE_CHECKING:
    from functions.metering.heads import PublicKey
    from functions.metering.signing import FolderSigner

DEFAULT_ROOT = Path(".payphone")
PRIVATE = 0o700


class Workspace:
    """Paths of one state folder, and its stores opened. Close what has a close()."""

    def __init__(self, root: Path = DEFAULT_ROOT) -> None:
        """Make the folder if there is none, readable by its owner only."""
        root.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        self.root = root
        self.models = root / "models"
        self.plans = root / "plans"
        self.invoices = root / "invoices"
        self.ledger_file = root / "ledger.db"
        self.keys_file = root / "keys.db"
        self.customers_file = root / "customers.db"
        self.sealing_keys = root / "sealing-keys"
        self.access_log = root / "access-log"
        self.data = Path(os.environ.get("PAYPHONE_DATA") or root / "data")
        self.build = root / "build"
        self.work = root / "work"
        self.logs = root / "logs"

    def registry(self) -> Registry:
        """Published models."""
        return Registry(LocalStore(self.models))

    def plan_book(self) -> PlanBook:
        """Published plan versions; the book itself names its objects plans/…"""
        return PlanBook(LocalStore(self.root))

    def books(self, issuer: str) -> Books:
        """Closed invoices and credit notes."""
        return Books(LocalStore(self.invoices), issuer)

    def ledger(self) -> SqliteLedger:
        """Where calls are written."""
        return SqliteLedger(str(self.ledger_file))

    def usage(self) -> SqliteUsage:
        """What reports and invoices read; a ledger that nothing was written to yet reads as empty."""
        if not self.ledger_file.exists():
            self.ledger().close()
        return SqliteUsage(str(self.ledger_file))

    def seals(self) -> Seals:
        """Signed days."""
        return Seals(LocalStore(self.root))

    @contextmanager
    def sealing(self) -> Iterator[Sealer]:
        """Make seals, one process at a time."""
        with self._signer() as signer, closing(self.usage()) as rows:
            yield Sealer(self.seals(), rows, signer)

    def rotate_sealing_key(self) -> tuple[PublicKey, PublicKey]:
        """Sign with a new key from now on, which the old one vouches for; gives both public halves."""
        with self._signer() as signer:
            seals, old = self.seals(), signer.key
            seals.publish(old)
            private, new = signer.successor()
            seals.publish(new)  # first: a crash from here on leaves a key too many, never one unvouched for
            signer.replace(private)
            return old, new

    @contextmanager
    def _signer(self) -> Iterator[FolderSigner]:
        from functions.metering.signing import FolderSigner  # cryptography is slow to import

        self.sealing_keys.mkdir(mode=PRIVATE, exist_ok=True)
        with (self.sealing_keys / ".lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield FolderSigner(self.sealing_keys)

    def log(self) -> FolderLog:
        """What the server has logged of every answer."""
        return FolderLog(self.access_log)

    def accounts(self) -> SqliteAccounts:
        """Wallets, and what months have used of their limits."""
        return SqliteAccounts(str(self.ledger_file))

    def outbox(self) -> SqliteOutbox:
        """Webhooks, and what is on its way to them."""
        return SqliteOutbox(str(self.root / "webhooks.db"))

    def vault(self) -> FileVault:
        """What the webhooks' secrets are encrypted by."""
        return FileVault(self.root / "webhooks.key")

    def keys(self) -> SqliteKeys:
        """API keys and the plans in force."""
        return SqliteKeys(str(self.keys_file))

    def customers(self) -> SqliteCustomers:
        """The identity records."""
        return SqliteCustomers(str(self.customers_file))
