"""The files that customers naturally have: header dumps, lines, JSON, proofs; and what is none of these."""

import json

import pytest

from functions.billing.kept import read_evidence
from functions.billing.verify import Malformed

RECEIPT = "2026-11-23." + "0f" * 32
HEADERS = f"""HTTP/1.1 200 OK\r
content-type: application/json\r
Payphone-Call-Id: gw:1\r
Payphone-Receipt: {RECEIPT}\r
x-request-id: 1\r
\r
HTTP/1.1 503 Service Unavailable\r
payphone-call-id: gw:lost\r
\r
HTTP/2 200 \r
payphone-receipt: {RECEIPT}\r
payphone-call-id: gw:2\r
"""
BOTH = [("gw:1", RECEIPT), ("gw:2", RECEIPT)]
PROOF = {"status": "sealed", "call_id": "gw:3", "row": {}}


@pytest.mark.parametrize(
    "text",
    [
        HEADERS,
        f"gw:1 {RECEIPT}\n\n# of yesterday\ngw:2,{RECEIPT}\n",
        "\n".join(json.dumps({"call_id": call, "receipt": RECEIPT}) for call, _ in BOTH),
        json.dumps([{"headers": {"Payphone-Call-Id": c, "Payphone-Receipt": r}} for c, r in BOTH], indent=1),
    ],
)
def test_receipts_are_read_from(text):
    assert read_evidence([("a", text)]).receipts == BOTH


@pytest.mark.parametrize("text", [json.dumps(PROOF), json.dumps(PROOF, indent=2), json.dumps([PROOF])])
def test_proofs_are_read_from(text):
    evidence = read_evidence([("a", text), ("b", HEADERS)])
    assert evidence.proofs == [PROOF]
    assert evidence.receipts == BOTH


def test_nothing_is_in_an_empty_file():
    assert read_evidence([("a", "")]) == ([], [])


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("gw:1 2026-11-23.0f", "a:1: a call id and its receipt"),
        (f"gw:1 {RECEIPT}\nwhat is this?", "a:2: a call id and its receipt were expected"),
        ('{"call_id": "gw:1"}\n{"x"', "a:1|a:2 is not JSON"),
        ("[1]", "a, document 1: a JSON object was expected"),
        ("[[]]", "a JSON object was expected"),
        ('{"call_id": 7, "receipt": 8}', "a call id and its receipt"),
        ('{"headers": 7}', "a call id and its receipt"),
    ],
)
def test_what_is_neither_is_named_by_its_line(text, where):
    with pytest.raises(Malformed, match=where):
        read_evidence([("a", text)])
