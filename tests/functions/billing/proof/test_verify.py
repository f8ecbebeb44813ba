"""A customer's check of an invoice: what fits passes, and whatever either side tampers with is found."""

import base64
import copy
import json
import sqlite3
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.billing.claims import read_claim
from functions.billing.verify import Evidence, Malformed, verify
from functions.metering.heads import Head, encoded, invoice_signed
from functions.metering.merkle import leaf_hash
from functions.metering.signing import FolderSigner


def signed_again(invoice, signer):
    """The invoice as an operator would issue it who wants to deceive: with a valid signature."""
    return {
        **invoice,
        "signed": {"key": signer.key.id, "signature": encoded(signer.sign(invoice_signed(invoice)))},
    }


def said(verdict, *words):
    """Whether one of the sentences has all of the words."""
    return any(all(word in sentence for word in words) for sentence in verdict.wrong)


def test_everything_fits(closed):
    verdict = closed.check()
    assert verdict.wrong == () == verdict.notes
    assert (verdict.calls, verdict.receipts, verdict.proven, verdict.seals) == (11, 11, 11, 3)
    assert closed.check(closed.invoice("cus_b"), closed.evidence("cus_b")).wrong == ()


def test_without_a_pinned_key_one_is_told_so(closed):
    verdict = closed.check(pinned=[])
    assert verdict.wrong == ()
    assert "public key is the invoice's own word" in verdict.notes[0]


def test_who_has_lost_receipts_is_told_how_many_calls_are_unproven(closed):
    evidence = closed.evidence()
    verdict = closed.check(evidence=Evidence(evidence.receipts[:4], evidence.proofs[:4]))
    assert verdict.wrong == ()
    assert "7 of 11 billed calls have no proven receipt" in verdict.notes[0]


def test_receipts_without_proofs_are_not_taken_for_proof(closed):
    verdict = closed.check(evidence=Evidence(closed.evidence().receipts, []))
    assert said(verdict, "11 without a valid proof")


# --- an operator who cheats, with the right key in his hand


def test_a_row_that_was_dropped_before_the_seal_is_missed(service):
    rows = [service.call() for _ in range(3)]
    service.call()
    with sqlite3.connect(service.ledger_file) as database:
        database.execute("DELETE FROM call WHERE call_id = ?", (rows[1].call_id,))
    service.seal()
    service.close()
    verdict = service.check()
    assert said(verdict, "1 without a valid proof", rows[1].call_id)
    assert service.find(rows[1].call_id, day="2026-11-03") is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("units", 9), ("plan", "pro@ffff"), ("started_at", 1_793_700_000_000), ("nonce", "00")],
)
def test_a_row_that_was_changed_before_the_seal_is_found_by_its_receipt(service, field, value):
    rows = [service.call() for _ in range(3)]
    value = service.plans["euro"].version if field == "plan" else value
    with sqlite3.connect(service.ledger_file) as database:
        database.execute(f"UPDATE call SET {field} = ? WHERE call_id = ?", (value, rows[1].call_id))
    service.seal()
    service.close()
    assert said(service.check(), rows[1].call_id, "the receipt was not given for")


def test_a_row_that_was_changed_after_the_seal_can_not_be_billed_unseen(service):
    """The invoice then has a seal of its own for it, and the call is under the seals with two rows."""
    rows = [service.call(kind="batch") for _ in range(3)]
    service.seal()
    honest = service.proofs()
    with sqlite3.connect(service.ledger_file) as database:
        database.execute("UPDATE call SET units = 90 WHERE call_id = ?", (rows[1].call_id,))
    service.close()
    verdict = service.check(evidence=Evidence([*service.receipts["cus_a"].items()], honest))
    assert said(verdict, "1 of your proven calls are not billed", "rows may have been exchanged")
    shown = service.proofs()  # now of the changed row, as the operator would have it
    verdict = service.check(evidence=Evidence([*service.receipts["cus_a"].items()], shown))
    assert said(verdict, "rows may have been exchanged") or said(verdict, "receipt was not given for")


def test_a_call_that_was_never_made_shows_as_one_without_a_receipt(service):
    service.call()
    forged = service.call()
    del service.receipts["cus_a"][forged.call_id]
    service.seal()
    service.close()
    verdict = service.check()
    assert verdict.wrong == ()
    assert "1 of 2 billed calls have no proven receipt" in verdict.notes[0]


def test_quantities_and_amounts_that_the_rows_do_not_give_are_found_although_signed(closed):
    signer = FolderSigner(closed.folder / "sealing-keys")
    for change, *words in (
        (lambda d: d["lines"][-1].update(quantity=d["lines"][-1]["quantity"] + 1), "charge"),
        (lambda d: d["lines"][1].update(amount="99.00"), "comes to" and "come to"),
        (lambda d: d.update(subtotal="99.00"), "the subtotal says 99"),
        (lambda d: d.update(total="99.00"), "the total says 99"),
        (lambda d: d["taxes"][0].update(amount="9.00"), "the total says"),
        (lambda d: d["rows"].update(count=12), "made of 12"),
        (lambda d: d["seals"][0].update(billed=9), "under its seals"),
        (lambda d: d["seals"].append(d["seals"][0]), "names a seal twice"),
        (lambda d: d["seals"].pop(), "under its seals"),
    ):
        document = closed.invoice()
        change(document)
        verdict = closed.check(signed_again(document, signer))
        assert said(verdict, *words), (words, verdict.wrong)


def test_units_on_a_line_are_held_against_the_proven_rows(closed):
    signer = FolderSigner(closed.folder / "sealing-keys")
    document = closed.invoice()
    (line,) = [line for line in document["lines"] if line.get("per") == "unit"]
    assert line["quantity"] == 9
    line["quantity"] = 10
    verdict = closed.check(signed_again(document, signer))
    assert said(verdict, "charges 10 units, your proven calls are 9 units")


def test_another_key_is_not_taken_for_ours(closed, tmp_path):
    stranger = FolderSigner(tmp_path / "elsewhere")
    document = closed.invoice()
    for entry in document["seals"]:
        head = Head(entry["seal"], entry["customer"], entry["count"], entry["root"], stranger.key.id)
        entry.update(key=stranger.key.id, signature=encoded(stranger.sign(head.signed())))
    document["keys"].append(stranger.key._asdict())
    verdict = closed.check(signed_again(document, stranger))
    assert said(verdict, stranger.key.id, "neither given nor vouched for")
    assert len([sentence for sentence in verdict.wrong if "neither given" in sentence]) == 4
    document["keys"][-1]["id"] = closed.public_key().id  # it goes by our key's name
    assert closed.check(signed_again(document, stranger)).wrong


def test_two_histories_of_one_day_convict_whoever_signed_them(closed):
    """The view is split: the invoice names another root than the proof leads to, both signed."""
    signer = FolderSigner(closed.folder / "sealing-keys")
    document = closed.invoice()
    entry = document["seals"][0]
    head = Head(entry["seal"], entry["customer"], entry["count"], leaf_hash(b"other").hex(), signer.key.id)
    entry.update(root=head.root, signature=encoded(signer.sign(head.signed())))
    verdict = closed.check(signed_again(document, signer))
    assert said(verdict, "two signed roots of the seal 2026-11-03")


def test_another_customers_seals_and_proofs_are_not_ours(closed):
    proofs = [*closed.proofs(), *closed.proofs("cus_b")]
    verdict = closed.check(evidence=Evidence([*closed.receipts["cus_a"].items()], proofs))
    assert said(verdict, "is customer cus_b's, the invoice cus_a's")
    assert verdict.proven == 11


# --- a customer who cheats


def test_a_forged_receipt_or_proof_convinces_nobody(closed):
    evidence = closed.evidence()
    receipt = f"2026-11-03.{leaf_hash(b'forged').hex()}"
    verdict = closed.check(evidence=Evidence([*evidence.receipts, ("gw:forged", receipt)], evidence.proofs))
    assert said(verdict, "1 without a valid proof (gw:forged)")
    forged = copy.deepcopy(evidence.proofs[0])
    forged["row"]["units"] += 1
    body = json.dumps(forged["row"], sort_keys=True, separators=(",", ":")).encode() + b"\n"
    forged["receipt"] = f"2026-11-03.{leaf_hash(body).hex()}"
    verdict = closed.check(evidence=Evidence([], [forged]))
    assert said(verdict, "does not lead to the root")
    signer = FolderSigner(closed.folder / "not-ours")
    head = Head("2026-11-03", "cus_a", 1, leaf_hash(body).hex(), signer.key.id)
    head = head._replace(signature=encoded(signer.sign(head.signed())))
    own = {**forged, "index": 0, "path": [], "seal": head.document()}
    assert said(closed.check(evidence=Evidence([], [own])), "neither given nor vouched for")


def test_two_receipts_for_one_call_are_told_of(closed):
    evidence = closed.evidence()
    call, receipt = evidence.receipts[0]
    other = f"{receipt[:-1]}{'0' if receipt[-1] != '0' else '1'}"
    verdict = closed.check(evidence=Evidence([*evidence.receipts, (call, other)], evidence.proofs))
    assert said(verdict, call, "two receipts")


# --- every byte


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_each_byte_of_an_invoice_matters(closed):
    data = json.dumps(closed.invoice()).encode()
    evidence, pinned = closed.evidence(), [closed.public_key()]
    for at in range(len(data)):
        try:
            document = json.loads(flipped(data, at))
            wrong = verify(document, evidence, pinned).wrong
        except (ValueError, AttributeError, TypeError):  # no JSON, or no invoice any more
            continue
        assert wrong, flipped(data, at)[max(0, at - 40) : at + 40]


def test_each_byte_of_a_proof_matters(closed):
    proof = closed.proofs()[0]
    receipts, invoice, pinned = (
        [*closed.receipts["cus_a"].items()][:1],
        closed.invoice(),
        [closed.public_key()],
    )
    whole = verify(invoice, Evidence(receipts, [proof]), pinned)
    assert (whole.wrong, whole.proven) == ((), 1)
    data = json.dumps({name: proof[name] for name in ("call_id", "row", "index", "path", "seal")}).encode()
    for at in range(len(data)):
        try:
            document = json.loads(flipped(data, at))
        except ValueError:
            continue
        verdict = verify(invoice, Evidence(receipts, [document]), pinned)
        assert verdict.wrong and not verdict.proven, flipped(data, at)[max(0, at - 40) : at + 40]


def test_each_digit_of_a_receipt_matters(closed):
    evidence = closed.evidence()
    call, receipt = evidence.receipts[0]
    for at in range(len("2026-11-03."), len(receipt)):
        changed = flipped(receipt.encode(), at).decode("latin-1")
        verdict = closed.check(evidence=Evidence([(call, changed)], evidence.proofs[:1]))
        assert said(verdict, call) and not verdict.proven


# --- several keys, several seals, several currencies


def test_a_key_that_the_pinned_one_vouches_for_is_trusted_and_no_other(service):
    service.call(day=3)
    service.seal()
    old = service.public_key()
    new = service.rotate()
    service.call(day=9)
    service.seal()
    service.close()
    verdict = service.check(pinned=[old])
    assert verdict.wrong == ()
    assert verdict.keys == tuple(sorted((old.id, new.id)))
    assert said(service.check(pinned=[new]), old.id, "neither given nor vouched for")  # not backwards
    document = service.invoice()
    (entry,) = [key for key in document["keys"] if key["id"] == new.id]
    entry["signature"] = entry["signature"].replace(
        entry["signature"][0], "A" if entry["signature"][0] != "A" else "B"
    )
    assert service.check(document, pinned=[old]).wrong


def test_a_month_that_is_closed_before_its_days_settle_is_proven_at_once_and_its_rest_later(service):
    service.call(day=3)
    service.call(day=3)
    service.close()
    assert [head.seal for head, _ in read_claim(service.invoice()).billed] == ["2026-11-03.1"]
    assert service.check().wrong == ()
    late = service.call(day=3)
    service.call(day=2, month="2026-12")
    assert [seal.name for seal in service.seal()] == ["2026-11-03"]
    service.close("2026-12")
    december = service.invoice(month="2026-12")
    assert [head.seal for head, _ in read_claim(december).billed] == ["2026-11-03", "2026-12-02.1"]
    verdict = service.check(december)
    assert verdict.wrong == ()
    assert verdict.proven == 2
    assert "2 receipts belong to other invoices" in verdict.notes[0]
    assert service.find(late.call_id).head.seal == "2026-11-03"


def test_an_invoice_in_each_currency_bills_its_own_part_of_a_day(service):
    for plan in ("pro", "euro", "pro"):
        service.call(plan=plan)
    service.seal()
    service.close()
    for currency, billed in (("USD", 2), ("EUR", 1)):
        invoice = service.invoice(currency=currency)
        assert [(e["count"], e["billed"]) for e in invoice["seals"]] == [(3, billed)]
        verdict = service.check(invoice)
        assert verdict.wrong == ()
        assert verdict.proven == billed


def test_calls_that_were_left_out_are_the_customers_gain(service):
    rows = [service.call() for _ in range(3)]
    service.seal()
    service.close(left_out={rows[0].call_id: "failed"})
    invoice = service.invoice()
    assert [(e["count"], e["billed"]) for e in invoice["seals"]] == [(3, 2)]
    verdict = service.check(invoice)
    assert verdict.wrong == ()
    assert "1 of your proven calls are not billed" in verdict.notes[0]


@pytest.mark.parametrize("document", [{}, {"customer": 1}, {"customer": "a", "month": "b", "rows": []}])
def test_what_is_no_invoice_is_refused(document):
    with pytest.raises(Malformed, match="invoice"):
        verify(document, Evidence([], []))


def test_an_unsigned_draft_is_refused(closed):
    document = closed.invoice()
    del document["signed"]
    with pytest.raises(Malformed, match="a closed one was expected"):
        verify(document, Evidence([], []))


def test_a_signature_has_one_spelling(closed):
    document = closed.invoice()
    signature = document["signed"]["signature"]
    spelled = signature[:-3] + chr(ord(signature[-3]) + 1) + "=="
    if base64.b64decode(spelled) == base64.b64decode(signature):
        document["signed"]["signature"] = spelled
        assert closed.check(document).wrong


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.just("1e99999999"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


def places(document, way=()):
    """Where in a document something stands."""
    yield way
    inner = document if isinstance(document, dict) else {}
    inner = dict(enumerate(document)) if isinstance(document, list) else inner
    for name, value in inner.items():
        yield from places(value, (*way, name))


def put(document, way, value):
    if not way:
        return value
    changed = copy.deepcopy(document)
    inner = changed
    for name in way[:-1]:
        inner = inner[name]
    inner[way[-1]] = value
    return changed


def test_whatever_stands_in_a_document_it_is_judged_and_breaks_nothing(closed):
    invoice, evidence, pinned = closed.invoice(), closed.evidence(), [closed.public_key()]
    of_invoice, of_proof = [*places(invoice)][1:], [*places(evidence.proofs[0])][1:]

    @settings(max_examples=300, deadline=None)
    @given(st.sampled_from(of_invoice), st.sampled_from(of_proof), ANYTHING, ANYTHING)
    def judged(in_invoice, in_proof, one, other):
        proofs = [put(evidence.proofs[0], in_proof, other)]
        verify(invoice, Evidence(evidence.receipts, proofs), pinned)
        with suppress(Malformed):
            verify(put(invoice, in_invoice, one), evidence, pinned)

    judged()
