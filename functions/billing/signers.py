"""Whose signatures count on an invoice: keys that the customer knows, and those that these vouch for."""

from __future__ import annotations

from collections.abc import Sequence

from functions.metering.heads import PublicKey, decoded, key_id
from functions.metering.signing import is_signed


class Signers:
    """The keys that may sign: the `pinned` and whom they vouch for; with none pinned, all that are `listed`.

    `wrong` are sentences about listed keys that are not what they are named.
    """

    def __init__(self, listed: Sequence[PublicKey], pinned: Sequence[PublicKey]) -> None:
        sound = [key for key in listed if _named_rightly(key)]
        self.wrong = [
            f"What the invoice lists as key {key.id} is another key." for key in listed if key not in sound
        ]
        self._pinned = bool(pinned)
        self._keys = {key.id: key for key in pinned or sound}
        for _ in sound if pinned else ():  # each round takes in those that a known one vouches for
            self._keys |= {key.id: key for key in sound if self._vouched_for(key)}

    def _vouched_for(self, key: PublicKey) -> bool:
        voucher = self._keys.get(key.previous)
        return voucher is not None and is_signed(voucher.public_key, key.signature, key.signed())

    def fault(self, name: str, signature: str, signed: bytes) -> str:
        """What is wrong with a signature that key `name` is said to have made; nothing if it holds."""
        key = self._keys.get(name)
        if key and is_signed(key.public_key, signature, signed):
            return ""
        if key:
            return f"not what key {name} signed: something in it was changed since"
        if self._pinned:
            return f"signed with key {name}, which is neither given nor vouched for by one that was"
        return f"signed with key {name}, which the invoice does not list"


def _named_rightly(key: PublicKey) -> bool:
    try:
        return key_id(decoded(key.public_key)) == key.id
    except ValueError:
        return False
