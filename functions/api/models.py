"""GET /v1/models: what the caller's key may call, and what it costs."""

from __future__ import annotations

from fastapi import APIRouter

from functions.access.keys import KeyRecord
from functions.api.caller import Caller, Parts
from functions.api.context import Context
from functions.api.problems import documented
from functions.api.schemas import ModelDetail, ModelList, ModelSummary, Price, Tensor
from functions.billing.amounts import decimal_text
from functions.calls.dialect import ModelView
from functions.calls.problems import Problem, model_not_found
from functions.calls.v2 import model_metadata

router = APIRouter(tags=["models"])


@router.get(
    "/v1/models",
    responses=documented("unauthenticated", "throttled", "access-unavailable", "books-unavailable"),
)
def list_models(key: Caller, parts: Parts) -> ModelList:
    """List the models this key may call and that are in service."""
    found = (_in_service(name, key, parts) for name in parts.catalog.names())
    return ModelList(models=[_summary(model) for model in found if model is not None])


@router.get(
    "/v1/models/{model}",
    responses=documented(
        "unauthenticated",
        "model-not-found",
        "throttled",
        "model-unavailable",
        "access-unavailable",
        "books-unavailable",
    ),
)
def show_model(model: str, key: Caller, parts: Parts) -> ModelDetail:
    """Show one model: inputs, outputs, labels, price, and how it was proven."""
    view = parts.catalog.get(model) if key.may_call(model) else None
    if view is None:
        raise model_not_found()
    manifest = view.manifest
    metadata = model_metadata(manifest, view.inputs)
    plan = parts.book.get(key.plan.version)
    return ModelDetail(
        **_summary(view).model_dump(),
        inputs=[Tensor(**spec) for spec in metadata["inputs"]],
        outputs=[Tensor(**spec) for spec in metadata["outputs"]],
        takes_missing=view.takes_missing,
        max_instances=manifest.max_instances,
        price=Price(plan=plan.name, currency=plan.currency, per_call=decimal_text(plan.price(manifest.name))),
        quantization=manifest.quantization,
        parity={
            "rows": manifest.parity.rows,
            "agreement": manifest.parity.agreement,
            "max_diff": manifest.parity.max_diff,
        },
        training=manifest.training,
        licence=manifest.licence,
    )


def _in_service(name: str, key: KeyRecord, parts: Context) -> ModelView | None:
    if not key.may_call(name):
        return None
    try:
        return parts.catalog.get(name)
    except Problem:
        return None


def _summary(model: ModelView) -> ModelSummary:
    manifest = model.manifest
    return ModelSummary(
        name=manifest.name, version=manifest.version, task=manifest.task, labels=list(manifest.labels)
    )
