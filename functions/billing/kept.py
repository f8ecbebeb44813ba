"""What customers keep of their calls, read from the files that they naturally have.

HTTP headers as `curl -D headers.txt` writes them, one answer after the other
lines of a call id and its receipt, with a space or a comma between
JSON, one document or a line each: {"call_id", "receipt"}, saved headers, or proofs as
GET /v1/receipts/{call_id} gives them
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from functions.billing.verify import Evidence, Malformed

CALL, RECEIPT = "payphone-call-id", "payphone-receipt"
_HEADER = re.compile(r"([A-Za-z0-9-]+):[ \t]+(.*)")
_RECEIPT = re.compile(r"\d{4}-\d\d-\d\d\.[0-9a-f]{64}")


def read_evidence(files: Iterable[tuple[str, str]]) -> Evidence:
    """Receipts and proofs of files, each a name and its text; Malformed names the line that is neither."""
    receipts: list[tuple[str, str]] = []
    proofs: list[Mapping[str, Any]] = []
    for name, text in files:
        for where, found in _documents(name, text):
            if "row" in found or found.get("status") == "pending":
                proofs.append(found)
            else:
                receipts.append(_receipt(where, found))
    return Evidence(receipts, proofs)


def _documents(name: str, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        whole = json.loads(text)
    except ValueError:
        yield from _lines(name, text)
        return
    for number, found in enumerate(whole if isinstance(whole, list) else [whole], 1):
        yield _object(f"{name}, document {number}", found)


def _lines(name: str, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    block: dict[str, Any] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line, where = raw.strip(), f"{name}:{number}"
        if line.startswith("{"):
            try:
                yield _object(where, json.loads(line))
            except ValueError as error:
                raise Malformed(f"{where} is not JSON: {error}") from None
        elif line.startswith("HTTP/"):
            block = {}
        elif header := _HEADER.fullmatch(line):
            block[header[1].lower()] = header[2]
            if CALL in block and RECEIPT in block:
                yield where, block
                block = {}
        elif line and not line.startswith("#"):
            parts = line.replace(",", " ").split()
            if len(parts) != 2:
                raise Malformed(f"{where}: a call id and its receipt were expected")
            yield where, {"call_id": parts[0], "receipt": parts[1]}


def _object(where: str, found: Any) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(found, dict):
        raise Malformed(f"{where}: a JSON object was expected")
    return where, found


def _receipt(where: str, found: Mapping[str, Any]) -> tuple[str, str]:
    headers = found.get("headers", found)
    named = {str(name).lower(): value for name, value in headers.items()} if isinstance(headers, dict) else {}
    call, receipt = (named.get(CALL, named.get("call_id")), named.get(RECEIPT, named.get("receipt")))
    if not isinstance(call, str) or not isinstance(receipt, str) or not _RECEIPT.fullmatch(receipt):
        raise Malformed(f"{where}: a call id and its receipt, as 2026-11-23.<64 hex digits>, were expected")
    return call, receipt
