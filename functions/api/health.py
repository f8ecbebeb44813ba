"""The Open Inference Protocol's server routes: health and metadata. They need no key."""

from __future__ import annotations

from fastapi import APIRouter, Response

from functions.api.caller import Parts
from functions.api.schemas import ServerMetadata
from functions.calls.v2 import server_metadata

router = APIRouter(tags=["open inference protocol"])


@router.get("/v2/health/live", response_class=Response, responses={200: {"description": "The server runs"}})
def live() -> Response:
    """Say that the server runs."""
    return Response()


@router.get(
    "/v2/health/ready", response_class=Response, responses={200: {"description": "Calls are answered"}}
)
def ready() -> Response:
    """Say that calls are answered (the server starts to listen only once its models are loaded)."""
    return Response()


@router.get("/v2")
def metadata(parts: Parts) -> ServerMetadata:
    """Name the server and its protocol extensions."""
    return ServerMetadata(**server_metadata(parts.version))
