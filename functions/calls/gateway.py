"""API Gateway's REST proxy event as a request, and a response as what the gateway expects back.

docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html. The API takes
every media type as binary ("*/*"), or it would cut tensors: bodies come in base64, and an answer is
handed on as bytes whatever the caller's Accept header says.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping

from functions.calls.dialect import HEADERS, Request
from functions.calls.problems import Response
from models.typed import Any

# A function's answer may have 6 MB as JSON, in which a quote takes two bytes; base64 takes a third more.
MAX_TEXT = 2 * 1024 * 1024
TEXT = ("application/json", "application/problem+json")
_LENGTHS = frozenset(map(len, HEADERS))  # of the twenty headers that come, few have to be looked at


def request_of(event: Mapping[str, Any]) -> Request:
    """The request of an event. Its attempt is `extendedRequestId`: a client may choose `requestId`."""
    context = event["requestContext"]
    body = event.get("body") or ""
    given = event.get("headers") or {}
    return Request(
        method=event["httpMethod"],
        path=event["path"],
        headers={name.lower(): given[name] for name in given if len(name) in _LENGTHS},
        body=a2b_base64(body) if event.get("isBase64Encoded") else body.encode(),
        attempt_id=context["extendedRequestId"],
        time_ms=context["requestTimeEpoch"],
    )


def key_of(event: Mapping[str, Any]) -> str:
    """The gateway's id of the key that it let in, "" where it asked for none."""
    return event["requestContext"]["identity"].get("apiKeyId") or ""


def reply(response: Response) -> dict[str, Any]:
    """The answer for the gateway."""
    is_text = response.headers.get("content-type") in TEXT and len(response.body) <= MAX_TEXT
    return {
        "statusCode": response.status,
        "headers": response.headers,
        "body": response.body.decode() if is_text else b2a_base64(response.body, newline=False).decode(),
        "isBase64Encoded": not is_text,
    }
