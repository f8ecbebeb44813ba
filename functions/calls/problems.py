"""Errors as the caller sees them: problem documents (RFC 9457), one entry a kind.

Every error that leaves Payphone is one of these. `detail` says what was expected, what came and
what to do; it never repeats the payload and, for an internal error, says nothing of itself.
"""

from __future__ import annotations

from functions.calls import log
from models.strict_json import dumps
from models.typed import Any, NamedTuple

MAX_BODY = 4 * 1024 * 1024  # Lambda takes 6 MB, less what base64 adds; the same everywhere
CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:payphone:problem:"

# kind → (HTTP status, title)
KINDS = {
    "invalid-json": (400, "The body is not valid JSON"),
    "invalid-request": (400, "The request is not formed as expected"),
    "invalid-idempotency-key": (400, "The Idempotency-Key is not usable"),
    "unauthenticated": (401, "A valid API key is needed"),
    "insufficient-balance": (402, "The prepaid balance does not cover this call"),
    "spend-cap-reached": (402, "This call would exceed the month's spend cap"),
    "not-found": (404, "There is nothing at this address"),
    "model-not-found": (404, "There is no such model"),
    "receipt-not-found": (404, "There is no such call of yours"),
    "method-not-allowed": (405, "The address does not take this method"),
    "not-acceptable": (406, "There is no such form of it"),
    "request-too-large": (413, "The request is too large"),
    "unsupported-media-type": (415, "The content type is not supported"),
    "invalid-input": (422, "The input does not fit the model"),
    "idempotency-key-mismatch": (422, "The Idempotency-Key belongs to another request"),
    "idempotency-key-expired": (422, "The Idempotency-Key is too old"),
    "idempotency-key-exhausted": (422, "The Idempotency-Key was used too often"),
    "invalid-parameter": (422, "A parameter is not as expected"),
    "answer-too-large": (422, "The answer is too large to send"),
    "throttled": (429, "Too many calls at once"),
    "quota-exceeded": (429, "The monthly quota is used up"),
    "headers-too-large": (431, "The request headers are too large"),
    "internal": (500, "The call failed on our side"),
    "ledger-unavailable": (503, "The call could not be recorded"),
    "books-unavailable": (503, "Usage and prices could not be read"),
    "access-unavailable": (503, "Keys could not be checked"),
    "model-unavailable": (503, "The model is out of service"),
}


class Response(NamedTuple):
    """What leaves: header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Problem(Exception):
    """One of KINDS, on its way to the caller. `headers` go out with it, `members` into the document."""

    def __init__(self, kind: str, detail: str, headers: dict[str, str] | None = None, **members: Any) -> None:
        super().__init__(kind)
        self.kind = kind
        self.detail = detail
        self.headers = headers or {}
        self.members = members

    @property
    def status(self) -> int:
        """The HTTP status of this kind."""
        return KINDS[self.kind][0]

    def document(self, request_id: str) -> dict[str, Any]:
        """The RFC 9457 document."""
        status, title = KINDS[self.kind]
        return {
            "type": TYPE_PREFIX + self.kind,
            "title": title,
            "status": status,
            "detail": self.detail,
            "instance": f"urn:payphone:request:{request_id}",
            **self.members,
        }

    def response(self, request_id: str, *, v2: bool = False) -> Response:
        """The finished answer; on /v2 with the "error" member that its clients read."""
        document = self.document(request_id)
        if v2:
            document["error"] = self.detail
        headers = {"content-type": CONTENT_TYPE, "x-request-id": request_id, **self.headers}
        return Response(self.status, headers, dumps(document).encode())


def unauthenticated() -> Problem:
    """No key, a wrong key, an expired and a revoked one look the same."""
    return Problem(
        "unauthenticated",
        "Send a valid API key in the header x-api-key (or Authorization: Bearer).",
        {"www-authenticate": "Bearer"},
    )


def too_large() -> Problem:
    """The body is over MAX_BODY; whoever reads it says so before any key is looked at."""
    return Problem("request-too-large", f"At most {MAX_BODY:,} bytes were expected.")


def access_unavailable() -> Problem:
    """The key store can't be read: nobody is let in."""
    return Problem("access-unavailable", "Nothing was billed; try again shortly.", {"retry-after": "1"})


def model_not_found() -> Problem:
    """No such model, or none that this key may call."""
    return Problem("model-not-found", "No such model; GET /v1/models lists those this key may call.")


def unrecorded() -> Problem:
    """The ledger could not make the row durable."""
    return Problem("ledger-unavailable", "Nothing was billed; try again shortly.", {"retry-after": "1"})


def refusal(reason: str, attempt_id: str) -> Problem:
    """Say why a repeated call is not answered."""
    if reason == "foreign":
        log.critical(f"two different calls came with the gateway id {attempt_id}")
        return unrecorded()
    details = {
        "mismatch": "It was used for a different request (path, content type or body).",
        "expired": "It was first used over 24 hours ago.",
        "exhausted": "It was replayed ten times already.",
    }
    return Problem(f"idempotency-key-{reason}", f"{details[reason]} Use a new key for a new call.")


def internal(error: Exception) -> Problem:
    """Log where it failed, without the message, which may hold the caller's data."""
    log.failure(error)
    return Problem("internal", "Nothing was billed. If it happens again, report the x-request-id.")
