"""The rows an invoice was computed from: their hash, and their text as it is kept beside the invoice."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from hashlib import sha256

from functions.metering.canonical import canonical_row
from functions.metering.event import UsageEvent

# zlib's parameters for a gzip stream with a small window: one is open a customer.
_GZIP_4K, _SMALL_MEMORY, _GZIP = 16 + 12, 5, 16 + zlib.MAX_WBITS


class RowsHash:
    """The running SHA-256 of rows and, where they are kept, their gzipped JSON lines."""

    def __init__(self, *, keep: bool) -> None:
        """Take rows in the order of (started_at, call_id)."""
        self.count = 0
        self._digest = sha256()
        self._last = (0, "")
        self._gzip = zlib.compressobj(6, zlib.DEFLATED, _GZIP_4K, _SMALL_MEMORY) if keep else None
        self._kept: list[bytes] = []

    def add(self, row: UsageEvent) -> None:
        """Take one row; ValueError where it comes doubled or out of order."""
        if (row.started_at, row.call_id) <= self._last:
            raise ValueError(
                f"ledger rows come doubled or out of order at call {row.call_id}: nothing is billed"
            )
        self._last = (row.started_at, row.call_id)
        line = canonical_row(row)
        self._digest.update(line)
        self.count += 1
        if self._gzip:
            self._kept.append(self._gzip.compress(line))

    @property
    def hexdigest(self) -> str:
        """SHA-256 of the rows so far."""
        return self._digest.hexdigest()

    def kept(self) -> bytes:
        """The gzipped lines; ends the taking of rows."""
        if self._gzip is None:
            return b""
        return b"".join([*self._kept, self._gzip.flush()])


class TamperedRows(ValueError):
    """Kept rows are not those an invoice was computed from."""


def read_rows(kept: bytes, expected_sha256: str) -> Iterator[UsageEvent]:
    """The rows of an invoice, without their attempts; TamperedRows if they are others."""
    try:
        text = zlib.decompress(kept, _GZIP)
    except zlib.error:
        raise TamperedRows(f"the kept rows {expected_sha256} can't be unpacked") from None
    if sha256(text).hexdigest() != expected_sha256:
        raise TamperedRows(f"the kept rows {expected_sha256} were changed")
    for line in text.splitlines():
        yield UsageEvent(**json.loads(line), attempts=(), fingerprint="")
