"""API keys: their form, and the record we keep of one, which never holds the key.

A key reads `pp_live_` + 32 random base-62 characters (190 bits) + a 6-character checksum, so that
a scanner can recognise a leaked one and a mistyped one costs no look-up. It is shown once, when
issued; what is stored is its SHA-256 (a slow hash would add nothing: there is no dictionary of
190-bit secrets).
"""

from __future__ import annotations

from binascii import crc32

from models.digests import sha256
from models.typed import Mapping, NamedTuple, Protocol

PREFIX = "pp_live_"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_CHARACTERS = 32
CHECKSUM_CHARACTERS = 6
KEY_LENGTH = len(PREFIX) + RANDOM_CHARACTERS + CHECKSUM_CHARACTERS
_WEIGHTS = tuple(len(ALPHABET) ** place for place in range(CHECKSUM_CHARACTERS))


class Plan(NamedTuple):
    """What access knows of a plan: which version is in force, and its soft limits (0: no limit).

    `rate` is calls a second, `burst` how many may come at once, `quota` calls a UTC month. Limits that
    hold are in `holds`, those that are counted after the fact in `counts`: terms as
    functions/metering/terms.py reads them, "" for none.
    """

    name: str
    version: str
    rate: float
    burst: int
    quota: int
    holds: str = ""
    counts: str = ""


class KeyRecord(NamedTuple):
    """What we keep of a key. Times are milliseconds since 1970 UTC, 0 for never.

    `models` are the models the key may call, () for all. A rotated key has an `expires_at`.
    """

    key_id: str
    digest: str
    customer: str
    plan: Plan
    models: tuple[str, ...] = ()
    created_at: int = 0
    expires_at: int = 0
    revoked_at: int = 0

    def usable(self, now_ms: int) -> bool:
        """Whether the key opens anything at this instant."""
        return not self.revoked_at and (not self.expires_at or now_ms < self.expires_at)

    def may_call(self, model: str) -> bool:
        """Whether the key's scope holds this model."""
        return not self.models or model in self.models


class KeyFinder(Protocol):
    """The one thing a call asks of a key store."""

    def find(self, digest: str) -> KeyRecord | None:
        """The record of the key with this SHA-256, usable or not; LookupUnavailable if unknowable."""


class LookupUnavailable(Exception):
    """The key store can't be read just now: nobody is let in."""


def find_presented(headers: Mapping[str, str], finder: KeyFinder) -> KeyRecord | None:
    """Look up the key that came in `x-api-key` or `Authorization: Bearer`; None for none of ours."""
    key = headers.get("x-api-key")
    if key is None:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
    known_as = digest(key.strip())
    return finder.find(known_as) if known_as else None


def generate() -> str:
    """Make a new key."""
    import secrets  # only issuing needs it, and it is slow to import

    body = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))
    return PREFIX + body + _checksum(body)


def digest(key: str) -> str | None:
    """SHA-256 of a well-formed key, or None for what can't be one of ours (no look-up needed)."""
    if len(key) != KEY_LENGTH or not key.startswith(PREFIX) or not key.isascii():
        return None
    if _checksum(key[len(PREFIX) : -CHECKSUM_CHARACTERS]) != key[-CHECKSUM_CHARACTERS:]:
        return None
    return sha256(key.encode()).hexdigest()


def _checksum(body: str) -> str:
    value, base = crc32(body.encode()), len(ALPHABET)
    return "".join([ALPHABET[value // weight % base] for weight in _WEIGHTS])
