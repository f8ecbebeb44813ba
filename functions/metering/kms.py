"""Signing seals in the cloud: an Ed25519 key in AWS KMS, which never leaves it.

Who may sign is a right on the key, which only the nightly seal has, and the operator who closes a month.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from functools import cached_property
from json import dumps, loads
from typing import Any

from functions.aws.service import JsonService
from functions.metering.heads import PublicKey, encoded, key_id

ALGORITHM = "ED25519_SHA_512"
RAW_KEY = 32  # the last bytes of an Ed25519 SubjectPublicKeyInfo (RFC 8410)
SECONDS = 10.0

Ask = Callable[[str, dict[str, Any]], dict[str, Any]]


class KmsSigner:
    """Implements Signer. What KMS refuses comes as `ask` raises it."""

    def __init__(self, key: str, ask: Ask) -> None:
        """`key` is the KMS key's id or ARN, `ask` sends one operation."""
        self._key, self._ask = key, ask

    @cached_property
    def key(self) -> PublicKey:
        """The public half, asked for once."""
        der = self._ask("GetPublicKey", {"KeyId": self._key})["PublicKey"]
        raw = (b64decode(der) if isinstance(der, str) else der)[-RAW_KEY:]
        return PublicKey(key_id(raw), encoded(raw))

    def sign(self, data: bytes) -> bytes:
        """Have KMS sign, which takes 4,096 bytes at most."""
        asked = {"KeyId": self._key, "SigningAlgorithm": ALGORITHM, "MessageType": "RAW"}
        signature = self._ask("Sign", {**asked, "Message": encoded(data)})["Signature"]
        return b64decode(signature) if isinstance(signature, str) else bytes(signature)


def service(region: str) -> Ask:
    """KMS over our own wire, with the function's rights; Unavailable and Rejected."""
    kms = JsonService("kms", region, "TrentService")

    def ask(operation: str, document: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = loads(kms.start(operation, dumps(document).encode(), SECONDS).answer())
        return answer

    return ask
