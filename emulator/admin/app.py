"""The admin listener: the emulator's own API, behind a token."""

import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from emulator.core.paths import raw_path
from emulator.engine.engine import Engine
from emulator.engine.events import Fault
from emulator.engine.views import counts, function_item, health

PREFIX = "/_emulator/"

LATER = {
    "GET clock", "POST clock", "POST clock/advance", "POST clock/run-until-idle", "POST wait",
    "GET queue", "GET invocations", "POST faults", "GET faults", "DELETE faults", "POST hold",
    "POST fire", "POST event", "GET outbox", "DELETE outbox", "POST reset", "GET events",
    "GET openapi.json",
}  # fmt: skip
"""Requests that the admin API will have and this version answers with 501."""

LATER_PREFIXES = ("GET /metrics", "GET invocations/", "POST invocations/")

MAX_ITEMS = 1000
DEFAULT_ITEMS = 100


@dataclass(frozen=True, slots=True)
class Site:
    """What the admin API tells about this run besides the engine's state."""

    token: str
    driver: str
    facts: Callable[[], dict[str, object]]
    """What run.json holds, less the token, and the uptime."""
    url_of: Callable[[str], str]
    """Where a function of that id is invoked."""


class _Refusal(Exception):
    def __init__(self, status: int, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field = field


class AdminApi:
    """Answers every request that passed the guard; an aiohttp low-level handler."""

    def __init__(self, engine: Engine, site: Site) -> None:
        self._engine = engine
        self._site = site

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; nothing escapes but cancellation."""
        try:
            return self._answer(request)
        except _Refusal as refusal:
            return _error(refusal)
        except Exception as error:  # noqa: BLE001 - our bug: told with its traceback, answered 500
            self._engine.tell(Fault(where=f"admin {request.method}", error=error))
            return _error(_Refusal(500, "InternalError", "see the emulator's own output"))

    def refuse(self, why: str) -> web.Response:
        """Render a refusal by the guard."""
        return _error(_Refusal(403, "AccessDenied", why))

    def _answer(self, request: web.BaseRequest) -> web.Response:
        path = raw_path(request.message.path)
        name = path.removeprefix(PREFIX) if path.startswith(PREFIX) else path
        if f"{request.method} {name}" == "GET health":
            return _json(503 if self._engine.stopping else 200, health(self._engine))
        self._check_token(request)
        asked = f"{request.method} {name}"
        if asked == "GET info":
            return _json(200, self._info())
        if asked == "GET functions":
            return _json(200, self._functions(request))
        if asked in LATER or asked.startswith(LATER_PREFIXES):
            raise _not_yet(f"{request.method} {path}")
        raise _Refusal(404, "NotFound", f"the admin API has no '{request.method} {path}'")

    def _check_token(self, request: web.BaseRequest) -> None:
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        given = request.headers.get("X-Fc-Emu-Token") or (
            bearer.strip() if scheme.lower() == "bearer" else ""
        )
        if not hmac.compare_digest(given.encode(), self._site.token.encode()):
            raise _Refusal(
                401,
                "Unauthorized",
                "the admin API needs the token of run.json as X-Fc-Emu-Token or as bearer token",
            )

    def _info(self) -> dict[str, object]:
        return {**self._site.facts(), "counts": counts(self._engine)}

    def _functions(self, request: web.BaseRequest) -> dict[str, object]:
        """List functions by id; the token of a page is the last id on it."""
        limit = _limit(request)
        after = request.query.get("nextToken", "")
        deployments = sorted(
            (d for d in self._engine.registry.deployments() if d.function.id > after),
            key=lambda d: d.function.id,
        )
        page = deployments[:limit]
        items = [
            function_item(
                self._engine,
                deployment,
                driver=self._site.driver,
                url=self._site.url_of(deployment.function.id),
            )
            for deployment in page
        ]
        more = len(deployments) > limit
        return {"items": items, "nextToken": page[-1].function.id if more else None}


def _limit(request: web.BaseRequest) -> int:
    text = request.query.get("limit", str(DEFAULT_ITEMS))
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= MAX_ITEMS):
        raise _Refusal(
            400, "InvalidArgument", f"limit is 1 to {MAX_ITEMS}, not '{text[:20]}'", "limit"
        )
    return int(text[:6])


def _not_yet(what: str) -> _Refusal:
    return _Refusal(501, "NotImplemented", f"'{what}' is not in this version of fc-emu")


def _error(refusal: _Refusal) -> web.Response:
    error = {"code": refusal.code, "message": refusal.message}
    if refusal.field is not None:
        error["field"] = refusal.field
    return _json(refusal.status, {"error": error})


def _json(status: int, body: object) -> web.Response:
    return web.Response(
        status=status,
        body=json.dumps(body).encode(),
        headers={
            "Content-Type": "application/json",
            "Server": "fc-emu",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
        },
    )
