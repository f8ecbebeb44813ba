"""The API as one FastAPI app, and its OpenAPI document."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline
from pydantic.json_schema import models_json_schema

from functions.api import calls, costs, health, invoices, keys, models, problems, receipts, usage, wallet
from functions.api.context import Context
from functions.api.schemas import InferRequest, PredictRequest, Problem

DESCRIPTION = """Models by the call. Send your key in `x-api-key`; every error is a problem document
(RFC 9457) with an `x-request-id` to quote. A call is billed once, and only if it was answered."""


def create_app(context: Context) -> FastAPI:
    """Build the app over the given parts."""
    app: FastAPI = FastAPIOffline(
        title="Payphone",
        version=context.version,
        description=DESCRIPTION,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.context = context
    problems.install(app)
    for routes in (calls, models, usage, costs, invoices, receipts, wallet, keys, health):
        app.include_router(routes.router)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # as FastAPI documents it
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document, with the schemas that routes refer to by name."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        named = [(schema, "validation") for schema in (Problem, PredictRequest, InferRequest)]
        _, definitions = models_json_schema(named, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name, definition in definitions["$defs"].items():
            schemas.setdefault(name, definition)
        app.openapi_schema = document
    return app.openapi_schema
