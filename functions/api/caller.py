"""The caller of a route: the usable key that came with the request."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, Response, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from functions.access.keys import KeyRecord, LookupUnavailable
from functions.api.context import Context
from functions.calls.limits import admit
from functions.calls.problems import access_unavailable, unauthenticated

# The schemes only tell OpenAPI how a key is sent; who wires the app says where a key is found.
_API_KEY = APIKeyHeader(name="x-api-key", auto_error=False, scheme_name="apiKey")
_BEARER = HTTPBearer(auto_error=False, scheme_name="bearer")


def context(request: Request) -> Context:
    """The parts behind the API."""
    found: Context = request.app.state.context
    return found


def caller(
    request: Request,
    response: Response,
    parts: Annotated[Context, Depends(context)],
    _api_key: Annotated[object, Security(_API_KEY)] = None,
    _bearer: Annotated[object, Security(_BEARER)] = None,
) -> KeyRecord:
    """Look the key up; Problem 401 without a usable one, 429 over its throttle."""
    now = parts.now_ms()
    try:
        record = parts.identify(request)
    except LookupUnavailable:
        raise access_unavailable() from None
    if record is None or not record.usable(now):
        raise unauthenticated()
    request.state.key_id = record.key_id
    if parts.limits is not None:
        response.headers.update(admit(parts.limits, record, now, counts=False))
    return record


Parts = Annotated[Context, Depends(context)]
Caller = Annotated[KeyRecord, Depends(caller)]
