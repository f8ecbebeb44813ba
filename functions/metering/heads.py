"""What is signed: a customer's day (so many calls under this root), an invoice, a key that follows another.

The signed bytes are a JSON object with sorted keys and no spaces, so that any language can make them. Keys
are named by their own SHA-256. A key that follows another carries the other's signature: who trusts
the old one can so trust the new one. Standard library only: verifying has to run anywhere.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

SEAL, KEY, INVOICE = "payphone-seal/1", "payphone-key/1", "payphone-invoice/1"


class Head(NamedTuple):
    """One customer's signed root over `size` calls. `seal` is the day, or one of several seals of it."""

    seal: str
    customer: str
    size: int
    root: str
    key: str = ""
    signature: str = ""

    @property
    def day(self) -> str:
        """The UTC day whose calls it holds."""
        return self.seal[:10]

    def signed(self) -> bytes:
        """The bytes under the signature."""
        return _canonical(
            type=SEAL, seal=self.seal, customer=self.customer, day=self.day, count=self.size, root=self.root
        )

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "seal": self.seal,
            "day": self.day,
            "customer": self.customer,
            "count": self.size,
            "root": self.root,
            "key": self.key,
            "signature": self.signature,
        }


class PublicKey(NamedTuple):
    """An Ed25519 key that seals are signed with, in base64; `previous` is the key that vouches for it."""

    id: str
    public_key: str
    previous: str = ""
    signature: str = ""

    def signed(self) -> bytes:
        """The bytes under the previous key's signature."""
        return _canonical(type=KEY, id=self.id, public_key=self.public_key, previous=self.previous)


def invoice_signed(document: Mapping[str, Any]) -> bytes:
    """The bytes under an invoice's signature: the hash of all it says besides."""
    said = {name: value for name, value in document.items() if name != "signed"}
    return _canonical(type=INVOICE, sha256=sha256(_canonical(**said)).hexdigest())


def key_id(raw: bytes) -> str:
    """The name of a public key of 32 bytes."""
    return sha256(raw).hexdigest()[:16]


def encoded(data: bytes) -> str:
    """Base64 as keys and signatures are written."""
    return b64encode(data).decode()


def decoded(text: object) -> bytes:
    """The bytes of base64, of which there is one spelling only; ValueError."""
    if not isinstance(text, str) or encoded(data := b64decode(text, validate=True)) != text:
        raise ValueError("base64 was expected")
    return data


def _canonical(**fields: object) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
