"""A usage row as hashes take it: one byte string a billed call, for invoices, seals and receipts alike."""

from __future__ import annotations

import json

from functions.metering.event import UsageEvent

# What a row says of the billed call. Attempts, state and revision are left out: a replay adds to
# them up to a day later, and it must not change the hash of a bill it does not change.
BILLED_FIELDS = (
    "call_id", "key_id", "customer", "plan", "model", "version", "kind", "units", "bytes_in", "started_at",
)  # fmt: skip


def canonical_row(row: UsageEvent) -> bytes:
    """A JSON object of BILLED_FIELDS, keys sorted, ASCII, and a newline."""
    fields = {name: getattr(row, name) for name in BILLED_FIELDS}
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode() + b"\n"
