"""What instances reach of the API: invoking, and reading about tasks; nothing that administers.

An instance has an address of its own, ``http://HOST:PORT/TOKEN``. The token is the instance's and
stands for everything by which the other listener tells who asks: an instance is no browser, but
what runs in it is not trusted either.
"""

from collections.abc import Callable
from uuid import uuid4

from aiohttp import web

from emulator.api.app import WireApi
from emulator.api.operations import INVOKE_FUNCTION, find_operation
from emulator.api.replies import error_reply
from emulator.core.errors import ApiError, ErrorCode
from emulator.core.paths import raw_path

OPEN_INSIDE = frozenset(
    {
        INVOKE_FUNCTION.name,
        "HTTP trigger",
        "GetStatefulAsyncInvocation",
        "ListStatefulAsyncInvocations",
        "ListStatefulAsyncInvocationFunctions",
    }
)
"""Operations that instances may ask for. Ours: a function administers nothing."""


class InsideApi:
    """Answers instances; an aiohttp low-level handler.

    Args:
        known: says whether a token is that of an instance that lives.
        authority: ``HOST:PORT`` of this listener.
    """

    def __init__(self, wire: WireApi, known: Callable[[str], bool], authority: str) -> None:
        self._wire = wire
        self._known = known
        self._authority = authority

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, or refuse it without reading its body."""
        token, path = split_token(raw_path(request.message.path))
        why = self._refusal(request, token, path)
        if why is not None:
            return error_reply(ApiError(ErrorCode.ACCESS_DENIED, why), str(uuid4()))
        return await self._wire.respond(request, path)

    def _refusal(self, request: web.BaseRequest, token: str, path: str) -> str | None:
        # An SDK that is given an endpoint with a path may send all of it as Host.
        host = request.headers.get("Host", "").partition("/")[0]
        if host.lower() != self._authority:
            return f"Host '{host}' is not this listener's: use the address in FC_EMU_ENDPOINT"
        if not self._known(token):
            return (
                "the path does not begin with the token of an instance: use FC_EMU_ENDPOINT whole, "
                "path included. An SDK that takes a bare host as endpoint cannot be used here"
            )
        match = find_operation(request.method, path)
        if match is not None and match.operation.name not in OPEN_INSIDE:
            return (
                f"{match.operation.name} is not open to functions: they may invoke and read tasks"
            )
        return None


def split_token(path: str) -> tuple[str, str]:
    """Split ``/TOKEN/rest`` into the token and ``/rest``."""
    token, _, rest = path.removeprefix("/").partition("/")
    return token, f"/{rest}"
