"""The key on this machine: made once, private, followed by others that it vouches for."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from functions.metering.heads import Head, decoded, key_id
from functions.metering.signing import FolderSigner, UnusableKey, from_pem, is_signed, to_pem

ROOT = Path(__file__).parents[3]
HEAD = Head("2026-11-23", "cus_a", 2, "ab" * 32)


def test_a_key_is_made_once_and_is_its_owners_alone(tmp_path):
    first = FolderSigner(tmp_path / "keys")
    assert FolderSigner(tmp_path / "keys").key == first.key
    (file,) = [path for path in (tmp_path / "keys").iterdir() if path.suffix == ".pem"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_those_who_come_at_once_get_one_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        keys = [*pool.map(lambda _: FolderSigner(tmp_path / "keys").key, range(16))]
    assert len(set(keys)) == 1


def test_a_key_that_others_can_read_or_that_is_damaged_is_not_used(tmp_path):
    FolderSigner(tmp_path)
    file = tmp_path / "0001.pem"
    file.chmod(0o640)
    with pytest.raises(UnusableKey, match="chmod 600"):
        FolderSigner(tmp_path)
    file.chmod(0o600)
    file.write_text("no key")
    with pytest.raises(UnusableKey, match="restore it"):
        FolderSigner(tmp_path)


def test_a_signature_is_over_every_field(tmp_path):
    signer = FolderSigner(tmp_path)
    from functions.metering.heads import encoded

    signature = encoded(signer.sign(HEAD.signed()))
    assert is_signed(signer.key.public_key, signature, HEAD.signed())
    for change in ({"seal": "2026-11-24"}, {"customer": "cus_b"}, {"size": 3}, {"root": "ac" * 32}):
        assert not is_signed(signer.key.public_key, signature, HEAD._replace(**change).signed())
    for bad in ("", "AA", signature + "\n", signature[:-4]):
        assert not is_signed(signer.key.public_key, bad, HEAD.signed())


def test_the_public_key_is_what_other_tools_read(tmp_path):
    key = FolderSigner(tmp_path).key
    raw = load_pem_public_key(to_pem(key).encode()).public_bytes_raw()
    assert raw == decoded(key.public_key)
    assert key.id == key_id(raw)
    assert from_pem(to_pem(key).encode()) == key
    with pytest.raises(UnusableKey, match="BEGIN PUBLIC KEY"):
        from_pem((tmp_path / "0001.pem").read_bytes())


def test_a_rotated_key_is_vouched_for_and_the_old_one_is_gone(tmp_path):
    signer = FolderSigner(tmp_path)
    old = signer.key
    private, new = signer.successor()
    assert is_signed(old.public_key, new.signature, new.signed())
    signer.replace(private)
    assert signer.key.id == new.id == FolderSigner(tmp_path).key.id != old.id
    assert [path.name for path in sorted(tmp_path.glob("*.pem"))] == ["0002.pem"]


def test_what_serves_calls_never_loads_a_key():
    code = (
        "import sys; import functions.local.server, functions.api.app, infra.serving; "
        "print([m for m in sys.modules if m.startswith('cryptography') or m == 'functions.metering.signing'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ}
    )
    assert done.stdout.strip() == "[]"


def test_verifying_needs_the_standard_library_and_cryptography_only():
    code = (
        "import sys; before = set(sys.modules); import functions.billing.verify, functions.billing.kept; "
        "print(sorted({m.partition('.')[0] for m in set(sys.modules) - before} - sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == str(["_cffi_backend", "_openssl", "cryptography", "functions", "models"])
