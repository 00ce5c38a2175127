"""The wire listener: request id, route, handler, error."""

from uuid import uuid4

from aiohttp import web

from emulator.api.headers import read_request_id
from emulator.api.invocations import invoke_function
from emulator.api.operations import (
    INVOKE_FUNCTION,
    LATER_FAMILIES,
    find_operation,
    methods_of,
    segments,
)
from emulator.api.replies import error_reply, json_reply, options_reply
from emulator.core.errors import ApiError, ErrorCode, not_implemented, path_not_supported
from emulator.core.paths import raw_path
from emulator.engine.engine import STOPPED, Engine
from emulator.engine.events import Fault
from emulator.engine.views import health

HEALTH_PATH = "/_emulator/health"

SERVED = {INVOKE_FUNCTION.name: invoke_function}
"""Handlers of the operations that are served, by name."""


class WireApi:
    """Answers every request that passed the guard; an aiohttp low-level handler."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; nothing escapes but cancellation."""
        return await self.respond(request, raw_path(request.message.path))

    async def respond(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """Answer a request as if ``path``, escaped and without query, were its path."""
        request_id = read_request_id(request.headers) or str(uuid4())
        try:
            response = await self._answer(request, path, request_id)
        except ApiError as error:
            response = error_reply(error, request_id)
            if error.code is ErrorCode.REQUEST_TIMEOUT:
                response.force_close()
        except Exception as error:  # noqa: BLE001 - our bug: told with its traceback, answered 500
            self._engine.tell(Fault(where=f"{request.method} {request.path}", error=error))
            response = error_reply(
                ApiError(
                    ErrorCode.INTERNAL_SERVER_ERROR,
                    "an internal error has occurred. Please retry.",
                ),
                request_id,
            )
        if self._engine.stopping or request.method == "CONNECT":
            response.force_close()
        return response

    async def _answer(self, request: web.BaseRequest, path: str, request_id: str) -> web.Response:
        if path == HEALTH_PATH and request.method == "GET":
            return json_reply(503 if self._engine.stopping else 200, health(self._engine))
        match = find_operation(request.method, path)
        if match is None:
            return self._no_operation(request.method, path, request_id)
        handler = SERVED.get(match.operation.name) if match.operation.served else None
        if handler is None:
            raise not_implemented(match.operation.name)
        if self._engine.stopping:
            raise ApiError(ErrorCode.RESOURCE_THROTTLED, STOPPED)
        return await handler(self._engine, request, match, request_id)

    def refuse(self, why: str) -> web.Response:
        """Render a refusal by the guard."""
        return error_reply(ApiError(ErrorCode.ACCESS_DENIED, why), str(uuid4()))

    def _no_operation(self, method: str, path: str, request_id: str) -> web.Response:
        family, *_ = segments(path)
        if family in LATER_FAMILIES:
            raise not_implemented(f"API {family} ({method} {path})")
        if method == "OPTIONS" and find_operation("POST", path) is not None:
            return options_reply(request_id, methods_of(path))
        raise path_not_supported(method, path)
