"""Reading a request's body: bounded in size and in time."""

import asyncio

from aiohttp import web

from emulator.core.errors import ApiError, ErrorCode, payload_too_large
from emulator.core.limits import BODY_DEADLINE_S


async def read_body(request: web.BaseRequest, *, limit_bytes: int) -> bytes:
    """Read the whole body; one that says or turns out to be too long is not read to its end.

    Raises:
        ApiError: EntityTooLarge, or RequestTimeout when it does not arrive in time.
    """
    if (request.content_length or 0) > limit_bytes:
        raise payload_too_large(limit_bytes)
    await _invite(request)
    received = bytearray()
    try:
        async with asyncio.timeout(BODY_DEADLINE_S):
            async for piece in request.content.iter_any():
                received += piece
                if len(received) > limit_bytes:
                    raise payload_too_large(limit_bytes)
    except TimeoutError:
        raise ApiError(
            ErrorCode.REQUEST_TIMEOUT,
            f"the request body did not arrive within {BODY_DEADLINE_S:g} s",
        ) from None
    return bytes(received)


async def _invite(request: web.BaseRequest) -> None:
    """Tell a client that asks first (curl, for large bodies) to go on."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
