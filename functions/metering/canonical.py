"""A usage row as hashes take it: one byte string a billed call, for invoices, seals and receipts alike.

A receipt names the UTC day of the call and the hash of this byte string, taken as RFC 9162 hashes a leaf:
it *is* the leaf that the day's seal holds, so one SHA-256 at the time of the answer is all there is to pay,
and whoever is shown the row later can do the same with `sha256sum`:

    Payphone-Receipt: 2026-11-23.<64 hex digits of SHA-256(0x00 || row)>
"""

from __future__ import annotations

from time import gmtime, strftime

from functions.metering.event import UsageEvent
from models.digests import sha256
from models.functional import lru_cache
from models.strict_json import quoted

# What a row says of the billed call. Attempts, state and revision are left out: a replay adds to
# them up to a day later, and it must not change the hash of a bill it does not change.
BILLED_FIELDS = (
    "bytes_in", "call_id", "customer", "key_id", "kind", "model", "nonce", "plan", "started_at", "units",
    "version",
)  # fmt: skip
_LEAF = b"\0"  # as in merkle.py, which a call has no need to load
_DAY_MS = 24 * 3600 * 1000


def canonical_row(row: UsageEvent) -> bytes:
    """A JSON object of BILLED_FIELDS, keys sorted, ASCII, without spaces, and a newline.

    A row without a nonce leaves it out, and so hashes as it did before there were receipts.
    """
    nonce = f'"nonce":{quoted(row.nonce)},' if row.nonce else ""
    whose, plan, version = _same(row.customer, row.key_id, row.kind, row.model, row.plan, row.version)
    return (
        f'{{"bytes_in":{row.bytes_in},"call_id":{quoted(row.call_id)},{whose},{nonce}{plan},'
        f'"started_at":{row.started_at},"units":{row.units},{version}}}\n'
    ).encode()


@lru_cache(maxsize=256)
def _same(customer: str, key_id: str, kind: str, model: str, plan: str, version: str) -> tuple[str, str, str]:
    """The members that are as in the caller's last row, in three runs."""
    return (
        f'"customer":{quoted(customer)},"key_id":{quoted(key_id)},"kind":{quoted(kind)},"model":{quoted(model)}',
        f'"plan":{quoted(plan)}',
        f'"version":{quoted(version)}',
    )


def receipt_of(row: UsageEvent) -> str:
    """What the answer to a call carries, so that its row can be held against it for ever."""
    return f"{_day(row.started_at // _DAY_MS)}.{sha256(_LEAF + canonical_row(row)).hexdigest()}"


@lru_cache(maxsize=4)
def _day(number: int) -> str:
    return strftime("%Y-%m-%d", gmtime(number * 86400))
