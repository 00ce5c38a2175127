"""InvokeFunction."""

from aiohttp import web

from emulator.api.bodies import read_body
from emulator.api.headers import read_invoke_options
from emulator.api.operations import Match
from emulator.api.replies import accepted_reply, invocation_reply
from emulator.core.errors import ApiError, ErrorCode
from emulator.core.limits import MAX_ASYNC_PAYLOAD_BYTES, MAX_SYNC_PAYLOAD_BYTES
from emulator.core.refs import parse_path_ref
from emulator.core.request import InvocationType
from emulator.engine.engine import Engine
from emulator.engine.events import Notice


async def invoke_function(
    engine: Engine, request: web.BaseRequest, match: Match, request_id: str
) -> web.Response:
    """Answer ``POST /services/{service}/functions/{function}/invocations``.

    Resources are looked up first, then the headers are read, then the body: the first check
    that fails decides. Assumed: this order. Source: API 2016-08-15, InvokeFunction.
    """
    target = engine.registry.resolve(
        parse_path_ref(match.values["service"], match.values["function"])
    )
    options = read_invoke_options(request.headers)
    for sentence in options.ignored:
        engine.tell(Notice(text=sentence, function=target.function.id))
    if options.invocation_type is InvocationType.ASYNC:
        payload = await read_body(request, limit_bytes=MAX_ASYNC_PAYLOAD_BYTES)
        if target.deployment.cannot_run:
            raise ApiError(ErrorCode.NOT_IMPLEMENTED, target.deployment.cannot_run)
        await engine.submit(request_id, target, options, payload)
        return accepted_reply(request_id)
    payload = await read_body(request, limit_bytes=MAX_SYNC_PAYLOAD_BYTES)
    finished = await engine.invoke(request_id, target, options, payload)
    return invocation_reply(
        finished, log_type=options.log_type, memory_mb=target.function.memory_size
    )
