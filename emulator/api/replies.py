"""Answers: outcomes and errors in the spelling of API 2016-08-15.

Header names are in canonical case, because some SDKs look them up case-sensitively. A body is
labelled JSON only when it is, because some SDKs then parse it.
"""

import base64
import json
from collections.abc import Mapping

from aiohttp import web

from emulator.core.errors import ApiError, ErrorCode
from emulator.core.logtail import log_tail
from emulator.core.outcome import FunctionFailed, Refused, Returned, SystemFailed, Throttled
from emulator.core.refs import LATEST
from emulator.core.request import LogType
from emulator.engine.events import InvocationFinished

SERVER = "fc-emu"

EXPOSED = (
    "Date,x-fc-request-id,x-fc-error-type,x-fc-code-checksum,x-fc-invocation-duration,"
    "x-fc-max-memory-usage,x-fc-log-result,x-fc-invocation-code-version"
)
"""Source: the vendor's local tool, which repeats what the service sends."""

_COMMON = {
    "Server": SERVER,
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

BINARY = "application/octet-stream"
JSON = "application/json"


def error_reply(error: ApiError, request_id: str) -> web.Response:
    """Render an error; the code comes first in its body."""
    body = {"ErrorCode": str(error.code), "ErrorMessage": error.message}
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return _response(
        error.status,
        text.encode("utf-8", "backslashreplace"),
        {"X-Fc-Request-Id": request_id},
        JSON,
    )


def json_reply(status: int, body: object) -> web.Response:
    """Render an answer of our own API."""
    return _response(status, json.dumps(body, ensure_ascii=False).encode(), {}, JSON)


def accepted_reply(request_id: str) -> web.Response:
    """Say that an asynchronous invocation is accepted: 202, no body, no JSON label."""
    return _response(202, b"", {"X-Fc-Request-Id": request_id}, BINARY)


def options_reply(request_id: str, methods: list[str]) -> web.Response:
    """Tell a program (browsers are refused earlier) which methods there are."""
    headers = {"X-Fc-Request-Id": request_id, "Allow": ", ".join([*methods, "OPTIONS"])}
    return _response(200, b"", headers, BINARY)


def invocation_reply(
    finished: InvocationFinished, *, log_type: LogType, memory_mb: int
) -> web.Response:
    """Render what became of a synchronous invocation.

    Raises:
        ApiError: for outcomes in which the function had no part.
    """
    headers = {
        "X-Fc-Request-Id": finished.request_id,
        "X-Fc-Invocation-Duration": str(round(finished.run_ms)),
        "X-Fc-Invocation-Service-Version": LATEST,
        "Access-Control-Expose-Headers": EXPOSED,
    }
    if finished.instance is not None:
        headers["X-Fc-Instance-Id"] = finished.instance
    if finished.checksum is not None:
        headers["X-Fc-Code-Checksum"] = finished.checksum
    if finished.peak_mb is not None:
        headers["X-Fc-Max-Memory-Usage"] = f"{finished.peak_mb:.2f}"
    match finished.outcome:
        case Returned(body=body, log=log):
            kind = BINARY
        case FunctionFailed(error_type=error_type, body=body, log=log):
            headers["X-Fc-Error-Type"] = error_type
            kind = JSON if _is_json(body) else BINARY
        case Throttled():
            raise ApiError(
                ErrorCode.RESOURCE_THROTTLED,
                "no instance was free within the function's timeout (--max-instances)",
            )
        case SystemFailed(reason=reason, unavailable=away):
            code = ErrorCode.SERVICE_UNAVAILABLE if away else ErrorCode.INTERNAL_SERVER_ERROR
            raise ApiError(code, reason)
        case Refused(code=code, message=message):
            raise ApiError(code, message)
    if log_type is LogType.TAIL:
        tail = log_tail(
            log,
            request_id=finished.request_id,
            run_ms=finished.run_ms,
            memory_mb=memory_mb,
            peak_mb=finished.peak_mb,
        )
        headers["X-Fc-Log-Result"] = base64.b64encode(tail).decode("ascii")
    return _response(200, body, headers, kind)


def _response(
    status: int, body: bytes, headers: Mapping[str, str], content_type: str
) -> web.Response:
    return web.Response(
        status=status, body=body, headers={**_COMMON, **headers, "Content-Type": content_type}
    )


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True
