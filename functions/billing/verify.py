"""The customer's side: does an invoice rest on what the answers' receipts said? Needs no account, no network.

    receipt    the header of an answer: the call's UTC day, and the hash of its row and a nonce
    proof      GET /v1/receipts/{call_id}: that row, and its path to a signed root
    invoice    for each day the signed root, how many calls are under it, and how many of them it bills

A call is proven if its row hashes to its receipt and its path leads to a root that the invoice names. All
else on the invoice is added up again as far as it and the proven rows allow.

What this can't show: calls that were never made, billed to a customer who keeps no receipts. Whoever keeps
them sees more calls on the invoice than he has receipts for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from functions.billing.claims import Claim, ProofClaim, read_claim, read_proof, text
from functions.billing.signers import Signers
from functions.metering.heads import Head, PublicKey


class Evidence(NamedTuple):
    """What a customer has kept: pairs of call id and receipt, and proofs as they came."""

    receipts: Sequence[tuple[str, str]]
    proofs: Sequence[Mapping[str, Any]]


class Verdict(NamedTuple):
    """What was found. `wrong` are sentences, one for each thing that does not fit; none if all does.

    `calls` are billed, `proven` of them by the `receipts` given; `notes` is what to know besides.
    """

    invoice: str
    calls: int
    receipts: int
    proven: int
    seals: int
    keys: tuple[str, ...]
    wrong: tuple[str, ...]
    notes: tuple[str, ...]


class Malformed(ValueError):
    """A document is not what it is taken for; the message says what was expected."""


def verify(invoice: Mapping[str, Any], evidence: Evidence, pinned: Iterable[PublicKey] = ()) -> Verdict:
    """Hold an invoice against receipts and proofs. `pinned` are keys that the customer knows by another way.

    Malformed where the invoice can't be read as one.
    """
    try:
        claim = read_claim(invoice)
    except KeyError as missing:
        expected = "a closed one was expected, as `payphone invoice show NUMBER --json` prints it"
        raise Malformed(f"the invoice has no {missing}: {expected}") from None
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise Malformed(f"the invoice can't be read: {error}") from None
    check = _Check(claim, [*pinned])
    check.signature()
    check.heads()
    check.sums()
    check.keep(evidence.receipts)
    for number, document in enumerate(evidence.proofs, 1):
        check.proof(number, document)
    check.receipts()
    check.quantities()
    return check.verdict()


class _Check:
    def __init__(self, claim: Claim, pinned: list[PublicKey]) -> None:
        self.wrong: list[str] = []
        self.notes: list[str] = []
        self._claim = claim
        self._heads = {head.seal: head for head, _ in claim.billed}
        self._kept: dict[str, str] = {}
        self._rows: dict[bytes, Mapping[str, Any]] = {}
        self._proven: dict[str, str] = {}
        self._elsewhere: set[str] = set()
        self._pending: set[str] = set()
        self._billed = 0
        self._signers = Signers(claim.keys, pinned)
        self.wrong += self._signers.wrong
        if not pinned:
            self.notes.append(
                "The public key is the invoice's own word: compare its id with what you noted earlier, or "
                "give --public-key."
            )

    def signature(self) -> None:
        """Is the invoice as it was issued?"""
        claim = self._claim
        if said := self._signers.fault(claim.key, claim.signature, claim.signed):
            self.wrong.append(f"The invoice is {said}.")

    def heads(self) -> None:
        """Are the roots signed, and do they hold as many calls as are billed?"""
        claim = self._claim
        if len(self._heads) < len(claim.billed):
            self.wrong.append("The invoice names a seal twice.")
        for head, billed in claim.billed:
            self._check_signature(head)
            if head.customer != claim.customer:
                self.wrong.append(
                    f"The seal {head.seal} is customer {head.customer}'s, not {claim.customer}'s."
                )
            if billed > head.size:
                self.wrong.append(
                    f"The invoice bills {billed:,} calls under the seal {head.seal}, which has {head.size:,}."
                )
            if head.day[:7] > claim.month:
                self.wrong.append(f"The seal {head.seal} is of a later month than the invoice.")
        billed = sum(billed for _, billed in claim.billed)
        if billed != claim.calls:
            self.wrong.append(
                f"The invoice was made of {claim.calls:,} calls, but bills {billed:,} under its seals."
            )

    def _check_signature(self, head: Head) -> bool:
        said = self._signers.fault(head.key, head.signature, head.signed())
        if said:
            self.wrong.append(f"The root {head.root[:16]}… of the seal {head.seal} is {said}.")
        return not said

    def sums(self) -> None:
        """Is the invoice added up rightly?"""
        claim = self._claim
        lines = sum(line.amount for line in claim.lines)
        if lines != claim.subtotal:
            self.wrong.append(f"The lines come to {lines}, the subtotal says {claim.subtotal}.")
        total = claim.subtotal - claim.less + claim.taxes
        if total != claim.total:
            self.wrong.append(
                f"Subtotal, discounts, credits and taxes come to {total}, the total says {claim.total}."
            )
        for line in claim.lines:
            if line.exact is not None and abs(line.exact - line.amount) > line.unit / 2:
                self.wrong.append(
                    f"Line {line.description!r}: its quantity and price come to {line.exact:f}, the line "
                    f"says {line.amount}."
                )

    def keep(self, receipts: Iterable[tuple[str, str]]) -> None:
        """Take the receipts; a call, replayed or not, has one."""
        for call, receipt in receipts:
            if self._kept.setdefault(call, receipt) != receipt:
                self.wrong.append(
                    f"Call {call} was answered with two receipts, {self._kept[call]} and {receipt}: its row "
                    "was changed in between."
                )

    def proof(self, number: int, document: Mapping[str, Any]) -> None:
        """Does one proof hold, and is what it proves on this invoice?"""
        call = document.get("call_id")
        named = f"The proof of call {call}" if isinstance(call, str) else f"Proof {number}"
        try:
            if document.get("status") == "pending":
                self._pending.add(text(call))
                self._kept.setdefault(text(call), text(document["receipt"]))
                return
            proof = read_proof(document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self.wrong.append(f"{named} can't be read: {type(error).__name__}, {error}.")
            return
        said = self._fault(proof, self._kept.get(proof.call_id, document.get("receipt")))
        if said:
            self.wrong.append(f"{named} {said}")
        elif self._check_signature(proof.head):
            self._place(proof)

    def _fault(self, proof: ProofClaim, receipt: object) -> str:
        """What is wrong with a proof in itself."""
        row, head = proof.row, proof.head
        if row["call_id"] != proof.call_id:
            return f"shows the row of another call, {row['call_id']}."
        if not row["customer"] == head.customer == self._claim.customer:
            return f"is customer {row['customer']}'s, the invoice {self._claim.customer}'s."
        if receipt != proof.receipt:
            return (
                f"shows a row that the receipt was not given for, so one of them was changed: the receipt is "
                f"{receipt}, that of the row is {proof.receipt}."
            )
        if proof.root != head.root:
            return f"does not lead to the root of the seal {head.seal}."
        return ""

    def _place(self, proof: ProofClaim) -> None:
        """Where a sound proof belongs."""
        call, head = proof.call_id, proof.head
        ours = self._heads.get(head.seal)
        if ours is None or proof.row["plan"] not in {line.plan for line in self._claim.lines}:
            if ours is None and head.day[:7] == self._claim.month:
                self.notes.append(
                    f"Call {call} is under the seal {head.seal}, which this invoice bills nothing of."
                )
            self._elsewhere.add(call)  # another month's, or that of a plan in another currency
        elif ours.root != head.root:
            self.wrong.append(
                f"There are two signed roots of the seal {head.seal}: {ours.root} on the invoice, "
                f"{head.root} in the proof of {call}. Keep both: they show that two histories were signed."
            )
        elif call in self._proven and proof.leaf not in self._rows:
            self.wrong.append(f"Call {call} is under the seals with two different rows: it is billed twice.")
        else:
            self._rows[proof.leaf] = proof.row
            self._proven[call] = head.seal

    def receipts(self) -> None:
        """Is every receipt proven?"""
        days = {head.day for head in self._heads.values()}
        lacking: list[str] = []
        for call, receipt in self._kept.items():
            day = receipt[:10]
            if call in self._proven or call in self._elsewhere:
                continue
            if day in days:
                lacking.append(call)
            elif day[:7] == self._claim.month:
                self.wrong.append(
                    f"You have a receipt of {day} for call {call}; the invoice bills nothing of that day."
                )
            else:
                self._elsewhere.add(call)
        self._say([call for call in lacking if call not in self._pending], _UNPROVEN)
        self._say([call for call in lacking if call in self._pending], _PENDING)
        if self._elsewhere:
            self.notes.append(f"{len(self._elsewhere):,} receipts belong to other invoices.")

    def _say(self, calls: list[str], said: str) -> None:
        if calls:
            some = ", ".join(calls[:3]) + (" and others" if len(calls) > 3 else "")
            self.wrong.append(f"Receipts: {len(calls):,} {said.format(some)}")

    def quantities(self) -> None:
        """Do the lines charge as many calls and units as there are?"""
        claim = self._claim
        per_call = sum(line.quantity for line in claim.lines if line.per == "call")
        per_unit = any(line.per == "unit" for line in claim.lines)
        if per_call > claim.calls or (not per_unit and per_call != claim.calls):
            self.wrong.append(
                f"The lines charge {per_call:,} calls, the invoice was made of {claim.calls:,}."
            )
        proven = Counter(self._proven.values())
        self._billed = sum(min(proven[head.seal], billed) for head, billed in claim.billed)
        if more := len(self._proven) - self._billed:
            if self._billed < claim.calls:
                self.wrong.append(
                    f"{more:,} of your proven calls are not billed, but calls that you have no proof of are: "
                    "rows may have been exchanged."
                )
            else:
                self.notes.append(f"{more:,} of your proven calls are not billed: your gain.")
        if any(proven[head.seal] != billed for head, billed in claim.billed):
            return  # some rows are not known: what they add to the lines is anyone's guess
        for line in claim.lines:
            rows = [row for row in self._rows.values() if line.fits(row, claim.lines, claim.month)]
            have = len(rows) if line.per == "call" else sum(row["units"] for row in rows)
            if line.per and (line.quantity > have or (line.whole and line.quantity < have)):
                self.wrong.append(
                    f"Line {line.description!r} charges {line.quantity:,} {line.per}s, your proven calls are "
                    f"{have:,} {line.per}s."
                )

    def verdict(self) -> Verdict:
        """All of it."""
        claim, proven = self._claim, self._billed
        if proven < claim.calls:
            self.notes.append(
                f"{claim.calls - proven:,} of {claim.calls:,} billed calls have no proven receipt of yours."
                " If you keep every receipt, ask for the rows of these calls: you may not have made them."
            )
        return Verdict(
            invoice=claim.number,
            calls=claim.calls,
            receipts=len(self._kept.keys() | self._proven),
            proven=proven,
            seals=len(self._heads),
            keys=tuple(sorted({claim.key, *(head.key for head in self._heads.values())})),
            wrong=tuple(dict.fromkeys(self.wrong)),
            notes=tuple(dict.fromkeys(self.notes)),
        )


_UNPROVEN = (
    "without a valid proof ({}). Fetch proofs with `payphone receipts fetch`; where there is none to be had, "
    "the call is not under the seal: its row was dropped, or the receipt is none of this service's."
)
_PENDING = "whose day was not sealed yet when the proof was fetched ({}). Fetch again."
