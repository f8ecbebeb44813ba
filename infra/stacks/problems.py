"""What API Gateway answers by itself, as the same problem documents that the functions send.

A template of a gateway response is filled in, never evaluated, and it can't tell /v1 from /v2: so each
document has the "error" member that clients of the Open Inference Protocol read.
"""

from __future__ import annotations

import json

from aws_cdk import aws_apigateway as apigateway

from functions.calls.problems import CONTENT_TYPE, TYPE_PREFIX, unauthenticated
from functions.calls.problems import KINDS as CORE_KINDS

# Only the gateway gives up on a call that still runs.
KINDS = {**CORE_KINDS, "timeout": (504, "The call took too long")}
REQUEST_ID = "$context.extendedRequestId"  # the same id that a call's row is named by

_KEY = unauthenticated().detail
_OURS = "Nothing was billed. If it happens again, report the x-request-id."

# Gateway response type → (kind, detail, more headers)
ANSWERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "ACCESS_DENIED": ("unauthenticated", _KEY, {}),
    "BAD_REQUEST_BODY": ("invalid-request", "The body could not be read.", {}),
    "BAD_REQUEST_PARAMETERS": ("invalid-request", "A parameter could not be read.", {}),
    "DEFAULT_4XX": ("invalid-request", "The request could not be read.", {}),
    "DEFAULT_5XX": ("internal", _OURS, {}),
    "EXPIRED_TOKEN": ("unauthenticated", _KEY, {}),
    "INTEGRATION_FAILURE": ("internal", _OURS, {}),
    "INTEGRATION_TIMEOUT": (
        "timeout",
        "The call took too long; if it was billed it will be credited. Send fewer instances a call.",
        {},
    ),
    "INVALID_API_KEY": ("unauthenticated", _KEY, {"www-authenticate": "Bearer"}),
    "INVALID_SIGNATURE": ("unauthenticated", _KEY, {}),
    # Its name misleads: it is what the gateway says of an address or method that it has no route for,
    # and of an Authorization header on one that it can't read as its own.
    "MISSING_AUTHENTICATION_TOKEN": ("not-found", "No such address; /docs lists what there is.", {}),
    "QUOTA_EXCEEDED": ("quota-exceeded", "The plan's calls of this UTC month are used up.", {}),
    "REQUEST_TOO_LARGE": ("request-too-large", "At most 4,194,304 bytes were expected.", {}),
    "RESOURCE_NOT_FOUND": ("not-found", "No such address; /docs lists what there is.", {}),
    "THROTTLED": ("throttled", "Wait 1 s, then send calls more slowly.", {"retry-after": "1"}),
    "UNAUTHORIZED": ("unauthenticated", _KEY, {}),
    "UNSUPPORTED_MEDIA_TYPE": ("unsupported-media-type", "application/json was expected.", {}),
    "WAF_FILTERED": ("unauthenticated", "The request was refused by the service's firewall.", {}),
}


def add_to(api: apigateway.RestApi) -> None:
    """Make every one of the gateway's own answers a problem document."""
    for name, (kind, detail, headers) in ANSWERS.items():
        status = KINDS[kind][0]
        api.add_gateway_response(
            f"Response{name.title().replace('_', '')}",
            type=apigateway.ResponseType.of(name),
            status_code=str(status),
            response_headers={
                "Content-Type": f"'{CONTENT_TYPE}'",
                "x-request-id": "context.extendedRequestId",
                **{header: f"'{value}'" for header, value in headers.items()},
            },
            templates={"application/json": document(kind, detail)},
        )


def document(kind: str, detail: str) -> str:
    """The template of a problem document; its fields are those of functions/calls/problems.py."""
    status, title = KINDS[kind]
    return json.dumps(
        {
            "type": TYPE_PREFIX + kind,
            "title": title,
            "status": status,
            "detail": detail,
            "instance": f"urn:payphone:request:{REQUEST_ID}",
            "error": detail,
        },
        separators=(",", ":"),
    )
