"""API Gateway's REST proxy event as a request, and a response as what the gateway expects back.

docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html. The API takes
every media type as binary ("*/*"), or it would cut tensors: bodies come in base64, and an answer is
handed on as bytes whatever the caller's Accept header says.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64

from functions.calls.dialect import HEADERS, Request
from functions.calls.problems import Response
from models.functional import lru_cache
from models.typed import Any, Mapping

# A function's answer may have 6 MB as JSON, in which a quote takes two bytes; base64 takes a third more.
MAX_TEXT = 2 * 1024 * 1024
TEXT = ("application/json", "application/problem+json")


def request_of(event: Mapping[str, Any]) -> Request:
    """The request of an event. Its attempt is `extendedRequestId`: a client may choose `requestId`."""
    context = event["requestContext"]
    body = event.get("body") or ""
    given = event.get("headers") or {}
    headers = {name: given[as_sent] for name, as_sent in _read_of(tuple(given))}
    content = a2b_base64(body) if event.get("isBase64Encoded") else body.encode()
    # By place: a tuple's fields by name would cost a dict on each call.
    return Request(
        event["httpMethod"],
        event["path"],
        headers,
        content,
        context["extendedRequestId"],
        context["requestTimeEpoch"],
    )


@lru_cache(maxsize=64)  # a client sends the same names each time, and the gateway adds its own
def _read_of(names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Of the twenty headers that come those that are read, in lower case and as they were sent."""
    return [(name.lower(), name) for name in names if name.lower() in HEADERS]


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
