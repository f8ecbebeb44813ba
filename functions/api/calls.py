"""The calls, as /docs shows them. They are answered by the predict core, not here.

In front of this app (functions/local/server.py) or beside it (a model's own Lambda) the core takes
every call to a model that is served. What still arrives here is a call to one that is not.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from functions.api.caller import Caller
from functions.api.problems import documented
from functions.api.schemas import (
    InferRequest,
    InferResponse,
    ModelMetadata,
    ModelReady,
    PredictRequest,
    PredictResponse,
)
from functions.calls.problems import KINDS, model_not_found

router = APIRouter()

_READ = (
    "unauthenticated",
    "model-not-found",
    "throttled",
    "model-unavailable",
    "access-unavailable",
    "books-unavailable",
)
_NOT_OF_CALLS = ("not-found", "method-not-allowed", "invalid-parameter", "receipt-not-found")
_CALL = tuple(kind for kind in KINDS if kind not in _NOT_OF_CALLS)
_HEADERS: list[dict[str, Any]] = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "Makes a retry safe: the same request with the same key is billed once.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    }
]


def _body(schema: type) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{schema.__name__}"}
    return {
        "parameters": _HEADERS,
        "requestBody": {"required": True, "content": {"application/json": {"schema": reference}}},
    }


@router.post(
    "/v1/models/{model}/predict",
    response_model=PredictResponse,
    response_model_exclude_unset=True,
    responses=documented(*_CALL),
    openapi_extra=_body(PredictRequest),
    tags=["calls"],
)
def predict(model: str, key: Caller) -> None:
    """Predict: one prediction an instance. Billed once, and only if answered."""
    raise model_not_found()


@router.post(
    "/v2/models/{model}/infer",
    response_model=InferResponse,
    responses=documented(*_CALL),
    openapi_extra=_body(InferRequest),
    tags=["open inference protocol"],
)
@router.post(
    "/v2/models/{model}/versions/{version}/infer",
    response_model=InferResponse,
    responses=documented(*_CALL),
    openapi_extra=_body(InferRequest),
    tags=["open inference protocol"],
)
def infer(model: str, key: Caller, version: str = "") -> None:
    """Infer by the Open Inference Protocol, in JSON or with binary tensors."""
    raise model_not_found()


@router.get("/v2/models/{model}", responses=documented(*_READ), tags=["open inference protocol"])
@router.get(
    "/v2/models/{model}/versions/{version}", responses=documented(*_READ), tags=["open inference protocol"]
)
def model_metadata(model: str, key: Caller, version: str = "") -> ModelMetadata:
    """Describe the tensors a caller gives and gets."""
    raise model_not_found()


@router.get("/v2/models/{model}/ready", responses=documented(*_READ), tags=["open inference protocol"])
@router.get(
    "/v2/models/{model}/versions/{version}/ready",
    responses=documented(*_READ),
    tags=["open inference protocol"],
)
def model_ready(model: str, key: Caller, version: str = "") -> ModelReady:
    """Say whether the model answers calls."""
    raise model_not_found()
