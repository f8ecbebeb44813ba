"""The choice among candidates: the smallest that passes, or the one that was asked for."""

import pytest

from models.manifest import Gate, Parity
from models.parity import Disagreement, ParityError
from models.quantize import Candidate, choose, outcomes

GATE = Gate(min_rows=10, min_agreement=0.99, max_diff=0.1)


def candidate(name: str, size: int, agreement: float = 1.0, microseconds: float = 0.0) -> Candidate:
    disagreed = [] if agreement == 1.0 else [Disagreement(4, (0.4,), (0.6,))]
    return Candidate(name, bytes(size), Parity(10, agreement, 0.0, GATE), disagreed, microseconds)


def test_takes_the_smallest_that_passes() -> None:
    wide, half, small = candidate("float32", 40), candidate("float16", 20), candidate("dynamic-int8", 10)
    assert choose([wide, half, small]) is small
    failing = candidate("dynamic-int8", 10, agreement=0.9)
    assert choose([wide, half, failing]) is half


def test_takes_no_loss_of_speed() -> None:
    wide = candidate("float32", 40, microseconds=100)
    slow, even = candidate("full-int8", 9, microseconds=130), candidate("dynamic-int8", 10, microseconds=104)
    assert choose([wide, even, slow]) is even
    assert choose([wide, slow]) is wide
    assert choose([wide, slow], "full-int8") is slow
    failing = candidate("float32", 40, agreement=0.9, microseconds=1)
    assert (
        choose([failing, slow, even]) is even
    )  # what fails its gate sets no pace; the fastest of the rest does


def test_reports_all_with_what_became_of_them() -> None:
    wide, small = candidate("float32", 40, microseconds=10.04), candidate("dynamic-int8", 10, 0.9, 5)
    chosen = choose([wide, small])
    first, second = outcomes([wide, small], chosen)
    assert (first["chosen"], first["passed"], first["bytes"], first["microseconds"]) == (True, True, 40, 10.0)
    assert (second["chosen"], second["passed"], second["disagreed"]) == (False, False, 1)


def test_takes_the_one_asked_for_only_if_it_passes() -> None:
    wide, failing = candidate("float32", 40), candidate("dynamic-int8", 10, agreement=0.9)
    assert choose([wide, failing], "float32") is wide
    with pytest.raises(ParityError, match=r"dynamic-int8: agreement is 90.*row 4 \(0.4 became 0.6\)"):
        choose([wide, failing], "dynamic-int8")


def test_says_of_each_candidate_why_it_fails() -> None:
    failing = [candidate("float32", 40, agreement=0.8), candidate("dynamic-int8", 10, agreement=0.9)]
    with pytest.raises(ParityError, match=r"nothing is published.*float32: .*80.*dynamic-int8: .*90"):
        choose(failing)
