"""Whom a TLS connection trusts, read once and no more of it than needed.

Parsing the 140-odd roots of a system bundle is 20 ms of CPU at every cold start, more than all else
that a write needs. AWS serves its endpoints under Amazon Trust Services' five roots
(https://www.amazontrust.com/repository/), so those alone are taken out of the bundle, in 2 ms. A
server they don't vouch for (another partition, a proxy that inspects traffic) is judged by the whole
bundle: see `Connection` in `wire.py`. AWS_CA_BUNDLE, as in the AWS SDKs, replaces it all.
"""

from __future__ import annotations

import ssl
from binascii import a2b_base64
from functools import cache
from os import environ

AMAZON_ROOTS = (b"Amazon Root CA", b"Starfield Services Root Certificate Authority")


def trusted(*, all_roots: bool = False) -> ssl.SSLContext:
    """The context for new connections; OSError if the bundle can't be read."""
    if bundle := environ.get("AWS_CA_BUNDLE"):
        return _context(bundle, all_roots=True)
    return _context(environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile, all_roots)


@cache
def _context(bundle: str | None, all_roots: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    roots = b"" if all_roots or bundle is None else _amazon_roots(bundle)
    if roots:
        context.load_verify_locations(cadata=roots)
    elif bundle is not None:
        context.load_verify_locations(bundle)
    else:
        context.load_default_certs()
    return context


def _amazon_roots(bundle: str) -> bytes:
    """DER of the bundle's Amazon roots; b"" if it has none.

    Their names stand in the DER in clear. A certificate that carries one without being theirs is
    still one that the bundle trusts, so nothing is trusted that would not have been.
    """
    with open(bundle, "rb") as file:  # noqa: PTH123  pathlib is a slow import
        blocks = file.read().split(b"-----BEGIN CERTIFICATE-----")[1:]
    roots = (a2b_base64(block.partition(b"-----END")[0]) for block in blocks)
    return b"".join(root for root in roots if any(name in root for name in AMAZON_ROOTS))
