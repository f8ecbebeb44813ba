"""The keys that seals are signed with on one machine: Ed25519, made once, readable by their owner only.

    sealing-keys/0001.pem    the private key (PKCS #8); a later number is a later key, the last one signs

Rotating makes a new key, has the old one vouch for it, and deletes the old private half: what it signed stays
verifiable by its public half, which lies among the seals for good.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from functions.metering.heads import PublicKey, decoded, encoded, key_id


class UnusableKey(ValueError):
    """A file holds no Ed25519 key, or one that others can read; the message says what was expected."""


class FolderSigner:
    """Implements Signer with the last key of a folder, making the first if there is none."""

    def __init__(self, folder: Path) -> None:
        """Read the key; UnusableKey if it is damaged or others may read it."""
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._files():
            _keep(Ed25519PrivateKey.generate(), folder / "0001.pem")
        self._file = self._files()[-1]
        self._private = _read(self._file)

    @property
    def key(self) -> PublicKey:
        """The public half; who vouches for it is kept where it was published first."""
        raw = self._private.public_key().public_bytes_raw()
        return PublicKey(key_id(raw), encoded(raw))

    def sign(self, data: bytes) -> bytes:
        """Sign."""
        return self._private.sign(data)

    def successor(self) -> tuple[Ed25519PrivateKey, PublicKey]:
        """A new key that this one vouches for. It is not in use before `replace`."""
        private = Ed25519PrivateKey.generate()
        raw = private.public_key().public_bytes_raw()
        key = PublicKey(key_id(raw), encoded(raw), self.key.id)
        return private, key._replace(signature=encoded(self.sign(key.signed())))

    def replace(self, private: Ed25519PrivateKey) -> None:
        """Sign with another key from now on; call once its public half is published."""
        number = int(self._file.stem) + 1
        _keep(private, self._folder / f"{number:04}.pem")
        self._file.unlink()
        self._file, self._private = self._folder / f"{number:04}.pem", private

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9][0-9][0-9][0-9].pem"))


def is_signed(key: str, signature: str, data: bytes) -> bool:
    """Whether `signature` is that of `data` by the public `key`, both in base64."""
    try:
        Ed25519PublicKey.from_public_bytes(decoded(key)).verify(decoded(signature), data)
    except (ValueError, InvalidSignature):
        return False
    return True


def to_pem(key: PublicKey) -> str:
    """A public key as other tools read it."""
    public = Ed25519PublicKey.from_public_bytes(decoded(key.public_key))
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def from_pem(data: bytes) -> PublicKey:
    """The Ed25519 public key of a PEM file; UnusableKey."""
    try:
        public = load_pem_public_key(data)
    except ValueError:
        public = None
    if not isinstance(public, Ed25519PublicKey):
        raise UnusableKey("an Ed25519 public key in PEM was expected (-----BEGIN PUBLIC KEY-----)")
    raw = public.public_bytes_raw()
    return PublicKey(key_id(raw), encoded(raw))


def _read(file: Path) -> Ed25519PrivateKey:
    if file.stat().st_mode & 0o077:
        raise UnusableKey(
            f"{file} can be read by others: chmod 600 it, and rotate the key if they are not us"
        )
    try:
        private = load_pem_private_key(file.read_bytes(), None)
    except (ValueError, TypeError):
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise UnusableKey(f"{file} holds no Ed25519 private key: restore it from your backup")
    return private


def _keep(private: Ed25519PrivateKey, file: Path) -> None:
    """Write a key durably and in one piece. If another process was first, its key stays."""
    temporary = file.parent / f".{file.name}.{secrets.token_hex(6)}"
    data = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        os.link(temporary, file)
    except FileExistsError:
        return
    finally:
        temporary.unlink()
        folder = os.open(file.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
