"""The headers that tell an instance about a call, for both protocols; pure."""

import base64
import json

from emulator.core.request import Context, Request


def invoke_headers(request: Request) -> dict[str, str]:
    """Give the ``x-fc-*`` headers of an invocation; absent facts are empty values.

    Source: runtime contract, "Request headers (push, all calls)".
    """
    context = request.context
    return {
        "content-type": "application/octet-stream",
        "x-fc-request-id": request.id,
        "x-fc-function-name": context.function_name,
        "x-fc-function-handler": context.handler,
        "x-fc-function-memory": str(context.memory_mb),
        "x-fc-function-timeout": str(context.timeout_s),
        "x-fc-function-initializer": "",
        "x-fc-access-key-id": context.access_key_id,
        "x-fc-access-key-secret": context.access_key_secret,
        "x-fc-security-token": context.security_token,
        "x-fc-region": context.region,
        "x-fc-account-id": context.account_id,
        "x-fc-qualifier": context.qualifier,
        "x-fc-version-id": context.version_id,
        "x-fc-service-name": context.service_name,
        "x-fc-service-logproject": "",
        "x-fc-service-logstore": "",
        "x-fc-control-path": "/invoke",
        "x-fc-retry-count": str(context.retry_count),
        "x-fc-tracing-opentracing-span-context": context.span_context,
        "x-fc-tracing-opentracing-span-baggages": _baggages(context),
        "x-fc-tracing-jaeger-endpoint": "",
    }


def _baggages(context: Context) -> str:
    if not context.span_baggages:
        return ""
    text = json.dumps(dict(context.span_baggages), separators=(",", ":"))
    return base64.b64encode(text.encode()).decode("ascii")
