"""API Gateway's data plane (REST, Lambda proxy) as AWS answers, where ministack differs.

Request ids that tell a forged one from the server's, who called (identity.apiKeyId), the gateway's own
errors through its gateway responses, its limits in time and size, permissions checked, binary bodies,
headers it renames, and routes that change only with a deployment. Sources: the API Gateway Developer
Guide ("Important notes", "Quotas", "Gateway response types", "Content type conversions").
"""

from __future__ import annotations

import asyncio
import base64
import copy
import fnmatch
import json
import os
import time
import uuid
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from ministack.services import apigateway_v1 as v1
from ministack.services import lambda_svc

REQUEST_LIMIT = 10 * 1024 * 1024
LAMBDA_REQUEST_LIMIT = 6 * 1024 * 1024
# What the integration sends under these names reaches the client as x-amzn-Remapped-…, or not at all.
REMAPPED = {"authorization", "connection", "content-md5", "date", "max-forwards", "server"}
REMAPPED |= {"user-agent", "www-authenticate"}
DROPPED = {"expect", "host", "proxy-authenticate", "te", "transfer-encoding", "trailer", "upgrade", "via"}
PRIVATE = {"authorizer", "error", "failure"}
PROXY_FIELDS = {"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"}

# The $context of the request that this task answers: what the event and the access log have in common.
CONTEXT: ContextVar[dict[str, Any]] = ContextVar("context")
_body_size: ContextVar[int] = ContextVar("body_size", default=0)
_snapshots: dict[tuple[str, str], dict] = {}

_execute = v1._handle_execute_in_scope
_check_key = v1._check_api_key
_build_event = v1._build_lambda_event_v1
_invoke_proxy = v1._invoke_lambda_proxy_v1
_shape_answer = v1._lambda_proxy_response
_render_error = v1._gateway_error_response
_request_value = v1._gateway_request_value
_match = v1._match_resource_tree
_match_greedy = v1._match_greedy_fallback
_create_deployment = v1._create_deployment


class _BadGateway(v1._GatewayError):
    """A function that failed or answered nonsense: rendered by DEFAULT_5XX, but with status 502."""

    def __init__(self) -> None:
        super().__init__("DEFAULT_5XX", "Internal server error")


def request_context(api: str, stage: str, method: str, path: str, headers: dict) -> dict[str, Any]:
    """What is known of a request before it is routed. A client may name `requestId`, with any UUID in
    `x-amzn-RequestId`, but never `extendedRequestId`."""
    now = time.time()
    named = v1._header_ci(headers, "x-amzn-requestid")
    try:
        request_id = str(uuid.UUID(named))
    except ValueError:
        request_id = str(uuid.uuid4())
    return {
        "apiId": api,
        "authorizer": {},
        "domainName": f"{api}.execute-api.{v1.get_region()}.amazonaws.com",
        "error": {},
        "failure": None,
        "extendedRequestId": base64.b64encode(os.urandom(11)).decode(),
        "httpMethod": method,
        "identity": {"sourceIp": "127.0.0.1", "userAgent": v1._header_ci(headers, "user-agent")},
        "path": f"/{stage}{path}",
        "protocol": "HTTP/1.1",
        "requestId": request_id,
        "requestTime": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "requestTimeEpoch": int(now * 1000),
        "stage": stage,
    }


async def execute(
    api: str,
    stage: str,
    method: str,
    path: str,
    headers: dict,
    body: bytes,
    query: dict,
    account: str,
    region: str,
) -> tuple[int, dict, bytes]:
    """Answer one request to a stage."""
    context = request_context(api, stage, method, path, headers)
    CONTEXT.set(context)
    _body_size.set(len(body or b""))
    started = time.perf_counter()
    status, answered, content = await _execute(
        api, stage, method, path, headers, body, query, account, region
    )
    own = {"x-amzn-requestid": context["requestId"], "x-amz-apigw-id": context["extendedRequestId"]}
    answered = {name: value for name, value in answered.items() if name.lower() not in own} | own
    context["responseLatency"] = int((time.perf_counter() - started) * 1000)
    context["status"], context["responseLength"] = status, len(content or b"")
    return status, answered, content


def check_key(method: dict, api: str, stage: str, headers: dict) -> tuple[object, dict | None]:
    """Remember whose key it is. A body over the limit is refused before any key is looked at."""
    if _body_size.get() > REQUEST_LIMIT:
        return v1._gw_error("REQUEST_TOO_LARGE", "Request Too Long"), None
    error, key = _check_key(method, api, stage, headers)
    if key is not None:
        CONTEXT.get()["identity"].update(apiKey=key["value"], apiKeyId=key["id"])
    return error, key


def build_event(*arguments: object, **options: object) -> dict:
    """The function's event, with the context of this request in it."""
    event = _build_event(*arguments, **options)
    inner, context = event["requestContext"], CONTEXT.get()
    inner["identity"].update(context["identity"])
    context["resourcePath"], context["resourceId"] = inner["resourcePath"], inner["resourceId"]
    inner.update({name: value for name, value in context.items() if name not in PRIVATE})
    return event


async def invoke_proxy(
    integration: dict,
    api: str,
    stage: str,
    settings: dict,
    resource: dict,
    path: str,
    method: str,
    *rest: Any,
    **options: Any,
) -> object:
    """Call the function as the gateway may, within its time; what goes wrong is a gateway response."""
    if not permitted(integration, api, stage, method, resource["path"]):
        return v1._gw_error("API_CONFIGURATION_ERROR", "Internal server error")
    if _body_size.get() > LAMBDA_REQUEST_LIMIT:
        return v1._gw_error("REQUEST_TOO_LARGE", "Request Too Long")
    limit = int(integration.get("timeoutInMillis") or 29_000) / 1000
    call = _invoke_proxy(integration, api, stage, settings, resource, path, method, *rest, **options)
    started = time.perf_counter()
    # The gateway turns away; the function runs on, as on AWS.
    task = asyncio.ensure_future(call)
    await asyncio.wait({task}, timeout=limit)
    context = CONTEXT.get()
    context["integrationLatency"] = int((time.perf_counter() - started) * 1000)
    if not task.done():
        return v1._gw_error("INTEGRATION_TIMEOUT", "Endpoint request timed out")
    response = task.result()
    if context["failure"] == "throttled":
        return v1._gw_error("DEFAULT_5XX", "Internal server error")
    if context["failure"]:
        return _BadGateway()
    return _renamed(response) if isinstance(response, tuple) else response


def permitted(integration: dict, api: str, stage: str, method: str, path: str) -> bool:
    """Whether the policy of the function (of its alias, if that is called) lets this method invoke it."""
    reference = v1._extract_lambda_ref_from_integration_uri(integration.get("uri", ""))
    function, _, _ = lambda_svc._get_base_func_record_for_ref(reference)
    source = f"arn:aws:execute-api:{v1.get_region()}:{v1.get_account_id()}:{api}/{stage}/{method}{path}"
    statements = function["policy"]["Statement"] if function else []
    return any(entry.get("Resource") == reference and _allows(entry, source) for entry in statements)


def _allows(statement: dict, source: str) -> bool:
    principal, conditions = statement.get("Principal"), statement.get("Condition") or {}
    service = principal.get("Service") if isinstance(principal, dict) else principal
    if statement.get("Effect") != "Allow" or service not in ("apigateway.amazonaws.com", "*"):
        return False
    patterns = [
        value
        for operator in conditions.values()
        for name, value in operator.items()
        if name.lower() == "aws:sourcearn"
    ]
    return all(fnmatch.fnmatchcase(source, pattern) for pattern in patterns)


def shape_answer(result: dict) -> tuple[dict | None, str | None]:
    """A function's result as a proxy response; an error of the function says nothing of itself."""
    answer, context = result.get("body"), CONTEXT.get()
    if result.get("throttle"):
        context["failure"] = "throttled"
    elif result.get("error") or not isinstance(answer, dict) or set(answer) - PROXY_FIELDS:
        context["failure"] = "failed"
    return (None, "Internal server error") if context["failure"] else _shape_answer(result)


def _renamed(response: tuple[int, dict, bytes]) -> tuple[int, dict, bytes]:
    status, headers, body = response
    kept = {name: value for name, value in headers.items() if name.lower() not in DROPPED}
    return status, {f"x-amzn-Remapped-{n}" if n.lower() in REMAPPED else n: v for n, v in kept.items()}, body


def render_error(error: Any, request: dict) -> tuple[int, dict, bytes]:
    """Render a gateway response under this request's id, and note for the access log what was wrong."""
    context = CONTEXT.get()
    request["request_id"] = context["requestId"]
    text = error.message or ""
    context["error"] = {
        "message": text,
        "messageString": json.dumps(text),
        "responseType": error.response_type,
    }
    context.setdefault("resourcePath", request["resource_path"] or request["stage_name"])
    status, headers, body = _render_error(error, request)
    template = body.decode().replace("$context.extendedRequestId", context["extendedRequestId"])
    if isinstance(error, _BadGateway):
        customised = v1._deployed_gateway_responses.get(request["api_id"], {}).get(
            request["stage"]["deploymentId"]
        )
        status = 502 if "statusCode" not in (customised or {}).get("DEFAULT_5XX", {}) else status
    return status, headers, template.encode()


def request_value(source: str, request: dict) -> str | None:
    """A value that a header of a gateway response is mapped from: any $context variable, too."""
    if source.startswith("context."):
        found = CONTEXT.get().get(source.removeprefix("context."))
        return found if isinstance(found, str) else None
    return _request_value(source, request)


def media_type_matches(media_type: str, binary_types: list[str]) -> bool:
    """Only the first type of an Accept header counts; `*/*` among the API's types matches anything."""
    return "*/*" in (binary_types or []) or _media_type_matches(
        (media_type or "").split(",")[0], binary_types
    )


_media_type_matches = v1._media_type_matches


def create_deployment(api: str, data: dict) -> tuple:
    """Freeze the API's routes with the deployment: a change is served only once it is deployed."""
    response = _create_deployment(api, data)
    if response[0] == 201:
        _snapshots[api, json.loads(response[2])["id"]] = copy.deepcopy(v1._resources.get(api, {}))
    return response


def _deployed(match: Any, api: str, *arguments: Any) -> Any:
    """Match against the routes of the stage's deployment in place of the live ones."""
    context = CONTEXT.get(None)  # none yet where IAM looks up how a method is authorized
    stage = v1._stages_v1.get(api, {}).get(context["stage"]) if context else None
    snapshot = _snapshots.get((api, stage["deploymentId"])) if stage else None
    if snapshot is None:
        return match(api, *arguments)
    live = v1._resources[api]
    v1._resources[api] = snapshot  # no await between here and the way back
    try:
        return match(api, *arguments)
    finally:
        v1._resources[api] = live


def install() -> None:
    """Put these functions in the place of ministack's."""
    v1._handle_execute_in_scope = execute
    v1._check_api_key = check_key
    v1._build_lambda_event_v1 = build_event
    v1._invoke_lambda_proxy_v1 = invoke_proxy
    v1._lambda_proxy_response = shape_answer
    v1._gateway_error_response = render_error
    v1._gateway_request_value = request_value
    v1._media_type_matches = media_type_matches
    v1._create_deployment = create_deployment
    v1._match_resource_tree = lambda api, segments: _deployed(_match, api, segments)
    v1._match_greedy_fallback = lambda api, segments, method: _deployed(_match_greedy, api, segments, method)
