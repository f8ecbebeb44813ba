"""Whom a TLS connection trusts, read once and no more of it than needed.

Parsing the 140-odd roots of a system bundle is 20 ms of CPU at every cold start, more than all else
that a write needs. AWS serves its endpoints under Amazon Trust Services' five roots
(https://www.amazontrust.com/repository/), so those alone are taken out of the bundle, in 2 ms. A
server they don't vouch for (another partition, a proxy that inspects traffic) is judged by the whole
bundle: see `Stream` in `stream.py`. AWS_CA_BUNDLE, as in the AWS SDKs, replaces it all.
"""

from __future__ import annotations

from _ssl import PROTOCOL_TLS_CLIENT, PROTO_TLSv1_2, _SSLContext, get_default_verify_paths
from binascii import a2b_base64
from os import R_OK, access, environ

from models.functional import cache

AMAZON_ROOTS = (b"Amazon Root CA", b"Starfield Services Root Certificate Authority")


def trusted(*, all_roots: bool = False) -> _SSLContext:
    """The context for new connections; OSError if the bundle can't be read."""
    if bundle := environ.get("AWS_CA_BUNDLE"):
        return _context(bundle, all_roots=True)
    usual: str = get_default_verify_paths()[1]
    return _context(environ.get("SSL_CERT_FILE") or (usual if access(usual, R_OK) else ""), all_roots)


@cache
def _context(bundle: str, all_roots: bool) -> _SSLContext:
    context = _SSLContext(PROTOCOL_TLS_CLIENT)  # which asks for a certificate, and for the host's own
    context.minimum_version = PROTO_TLSv1_2
    roots = _amazon_roots(bundle) if bundle and not all_roots else b""
    if roots:
        context.load_verify_locations(cadata=roots)
    elif bundle:
        context.load_verify_locations(cafile=bundle)
    else:
        context.set_default_verify_paths()  # roots in a folder, a file each
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
