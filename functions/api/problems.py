"""Problem documents in FastAPI's terms: handlers, and their place in the OpenAPI document."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from functions.billing.plans import UnknownPlan
from functions.calls.problems import CONTENT_TYPE, KINDS, Problem, internal
from functions.metering.ledger import LedgerUnavailable

log = logging.getLogger("payphone.api")

_BY_STATUS = {404: "not-found", 405: "method-not-allowed"}


def documented(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these kinds."""
    by_status: dict[int | str, list[str]] = {}
    for kind in kinds:
        by_status.setdefault(KINDS[kind][0], []).append(KINDS[kind][1])
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": "; ".join(titles), "content": {CONTENT_TYPE: {"schema": schema}}}
        for status, titles in by_status.items()
    }


def install(app: FastAPI) -> None:
    """Make every error of the app a problem document."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, problem: Problem) -> Response:
        return _render(request, problem)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        kind = _BY_STATUS.get(error.status_code, "invalid-request")
        detail = {
            "not-found": "No such address; /docs lists what there is.",
            "method-not-allowed": "/docs lists the methods of each address.",
        }.get(kind, "The request could not be read.")
        return _render(request, Problem(kind, detail, dict(error.headers or {})))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _render(request, Problem("invalid-parameter", f"{where}: {first['msg']}."))

    @app.exception_handler(LedgerUnavailable)
    @app.exception_handler(UnknownPlan)
    async def _unavailable(request: Request, error: Exception) -> Response:
        log.error("%s: %s", type(error).__name__, error)
        return _render(request, Problem("books-unavailable", "Try again later.", {"retry-after": "60"}))

    @app.exception_handler(Exception)
    async def _internal(request: Request, error: Exception) -> Response:
        return _render(request, internal(error))


def _render(request: Request, problem: Problem) -> Response:
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))  # a stage's, in the cloud
    rendered = problem.response(request.state.attempt_id, v2=path.startswith("/v2"))
    return Response(rendered.body, rendered.status, rendered.headers)
