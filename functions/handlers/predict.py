"""The Lambda that answers calls, one per model: the predict core behind API Gateway.

It is all that runs on a call, so it imports the standard library and our own modules only. The
model is loaded and the connection is opened while the sandbox starts; a model that is not what
its manifest says stops it there. Throttle and quota are the gateway's.
"""

from __future__ import annotations

import gc

gc.disable()  # what is made while a function starts stays: looking for garbage would be a tenth of it

import os
from time import perf_counter_ns

from functions import settings
from functions.access.dynamodb import GatewayKeys
from functions.access.keys import KeyRecord, LookupUnavailable
from functions.aws.service import Unavailable, dynamodb_in
from functions.calls.core import Call, Calls, Model
from functions.calls.dialect import Request
from functions.calls.gateway import key_of, reply, request_of
from functions.calls.problems import MAX_BODY, Response, access_unavailable, too_large
from functions.calls.telemetry import Telemetry
from functions.inference import artifact
from functions.metering.dynamodb import DynamoDbLedger
from models.typed import Any, Mapping

LEDGER_MS = 3000  # twice over, for a void, and two look-ups: still under the function's timeout
CONNECT_SECONDS = 2.0


class OneModel:
    """The one model served here."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def get(self, name: str) -> Model | None:
        """It, or None under any other name."""
        return self.model if name == self.model.manifest.name else None


_set = settings.read("region", "model", "ledger_table", "access_table")
_model = artifact.load(_set.artifact, _set.model, _set.region)
_service = dynamodb_in(_set.region)
_ledger = DynamoDbLedger(_set.ledger_table, _service, LEDGER_MS, _set.accounts_table)
_keys = GatewayKeys(_set.access_table, _service, _set.key_cache_seconds)
_calls = Calls(OneModel(_model), _ledger)
_telemetry = Telemetry(_set.stage, _set.model, _model.manifest.version)
_cold = True

# What a snapshot holds open is dead when it is restored. Else the first call says what is wrong.
if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != "snap-start":
    try:  # noqa: SIM105  contextlib is a slow import
        _service.connect(CONNECT_SECONDS)
    except Unavailable:
        pass
gc.freeze()
gc.enable()


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Answer one call; Lambda's entry point."""
    global _cold  # noqa: PLW0603  a sandbox takes one event at a time
    began = perf_counter_ns()
    request = request_of(event)
    record, call, response = _answer(request, key_of(event))
    asked = getattr(call, "asked", None)
    line = _telemetry.line(
        time_ms=request.time_ms,
        status=response.status,
        call_id=response.headers.get("payphone-call-id", ""),
        attempt_id=request.attempt_id,
        request_id=event["requestContext"].get("requestId", ""),
        key_id=record.key_id if record else "",
        units=asked.units if asked else 0,
        billed=call is not None and response.status == 200 and "idempotent-replayed" not in response.headers,
        inference_us=call.inference_us if call else 0,
        total_us=(perf_counter_ns() - began) // 1000,
        bytes_out=len(response.body),
        cold=_cold,
    )
    _cold = False
    try:  # noqa: SIM105  suppress() is two calls more, on each call
        os.write(1, line)
    except OSError:
        pass  # an answer that was billed leaves, logged or not
    return reply(response)


def _answer(request: Request, gateway_key: str) -> tuple[KeyRecord | None, Call | None, Response]:
    is_v2 = request.path.startswith("/v2")
    if len(request.body) > MAX_BODY:
        return None, None, too_large().response(request.attempt_id, v2=is_v2)
    try:
        record = _keys.find(gateway_key)
    except LookupUnavailable:
        return None, None, access_unavailable().response(request.attempt_id, v2=is_v2)
    call = _calls.accept(request, record)
    if isinstance(call, Response):
        return record, None, call
    call.run()
    return record, call, call.finish()
