"""The ledger against its own seals: a row that was sealed can't change or go unseen any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from functions.billing.reconcile import CHANGED, SEAL, UNKNOWN, Finding
from functions.metering.archive import ArchiveDamaged
from functions.metering.canonical import canonical_row
from functions.metering.event import UsageEvent
from functions.metering.heads import Head, PublicKey
from functions.metering.merkle import leaf_hash, root_of
from functions.metering.seals import Seals
from functions.metering.signing import is_signed
from functions.metering.usage import day_of
from models.store import NotInStore


def compare_seals(
    month: str, seals: Seals, rows: Iterable[UsageEvent], customer: str | None = None
) -> list[Finding]:
    """Hold a month's live rows against its seals.

    `changed` and `unknown` name calls whose sealed row is another or gone. Where a day's root says that all
    is there no sealed row is read.
    """
    live: dict[tuple[str, str], dict[str, bytes]] = {}
    for row in rows:
        of = live.setdefault((day_of(row.started_at), row.customer), {})
        of[row.call_id] = leaf_hash(canonical_row(row))
    found: list[Finding] = []
    heads: dict[tuple[str, str], list[Head]] = {}
    keys = seals.keys()
    for name in seals.names(month):
        try:
            for head in seals.day(name).customers.values():
                if customer in (None, head.customer):
                    heads.setdefault((head.day, head.customer), []).append(head)
                    found += _signature(head, keys.get(head.key))
        except ArchiveDamaged as error:
            found.append(Finding(SEAL, "", "", str(error)))
    for whose, sealed in heads.items():
        leaves = live.get(whose, {})
        if len(sealed) > 1 or root_of(leaves.values()).hex() != sealed[0].root:
            found += _differences(seals, sealed, leaves)
    return found


def _signature(head: Head, key: PublicKey | None) -> Iterator[Finding]:
    if key is None or not is_signed(key.public_key, head.signature, head.signed()):
        said = f"the seal {head.seal} is not signed by a key of ours"
        yield Finding(SEAL, "", head.customer, said)


def _differences(seals: Seals, heads: list[Head], leaves: dict[str, bytes]) -> Iterator[Finding]:
    sealed: dict[str, bytes] = {}
    try:
        for head in heads:
            rows = seals.rows([seals.day(head.seal)], head.customer)
            sealed |= {row.call_id: leaf_hash(canonical_row(row)) for row in rows}
    except (ArchiveDamaged, NotInStore) as error:
        yield Finding(SEAL, "", heads[0].customer, str(error))
        return
    for call, leaf in sealed.items():
        if call not in leaves:
            yield Finding(UNKNOWN, call, heads[0].customer, "it is sealed, but the ledger has no live row")
        elif leaves[call] != leaf:
            yield Finding(CHANGED, call, heads[0].customer, "the row is not what was sealed")
