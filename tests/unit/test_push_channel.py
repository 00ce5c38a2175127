"""One request at a time over one connection; whatever does not fit ends it."""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from emulator.channels.headers import invoke_headers
from emulator.channels.push import MAX_HEAD_BYTES, ChannelClosed, PushChannel
from emulator.core.limits import MAX_RESULT_BYTES
from emulator.core.request import Context, Reply, Request
from tests.support.clock import settle

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX-Fc-Status: 404\r\n\r\nhello"
HEAD_BYTES = ANSWER.index(b"hello")


class Line:
    """A channel and, at the other end of its socket, the instance."""

    def __init__(self, channel: PushChannel, instance: socket.socket) -> None:
        self.channel = channel
        self.instance = instance

    async def asked(self, payload: bytes = b"") -> asyncio.Task[Reply]:
        """Start an exchange and let its request go out."""
        task = asyncio.create_task(self.channel.exchange(request_of(payload)))
        await settle()
        return task

    async def say(self, *pieces: bytes) -> None:
        """Send as the instance, and let each piece arrive before the next one."""
        for piece in pieces:
            await asyncio.get_running_loop().sock_sendall(self.instance, piece)
            await settle()

    async def hear(self) -> bytes:
        """Give what has arrived at the instance; nothing once the channel has closed."""
        async with asyncio.timeout(5):
            return await asyncio.get_running_loop().sock_recv(self.instance, 1 << 20)


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    """A channel over a real pair of sockets."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    _, channel = await asyncio.get_running_loop().create_connection(PushChannel, sock=ours)
    yield Line(channel, theirs)
    channel.close()
    await settle()
    theirs.close()


def context_of(baggages: Mapping[str, str] | None = None) -> Context:
    """A function's context, with these baggages."""
    return Context(
        function_name="f",
        service_name="s",
        handler="index.handler",
        memory_mb=512,
        timeout_s=60,
        region="cn-local",
        account_id="123",
        qualifier="LATEST",
        span_baggages=baggages or {},
    )


def request_of(payload: bytes = b"", baggages: Mapping[str, str] | None = None) -> Request:
    """A request with this payload."""
    return Request(id="r-1", payload=payload, timeout_s=60, context=context_of(baggages))


async def test_a_request_goes_out_as_one_post_with_its_payload(line: Line) -> None:
    """The instance reads a request line, the call's headers, the length and the payload."""
    task = await line.asked(b"event")

    heard = await line.hear()
    await line.say(ANSWER)
    await task

    head, _, body = heard.partition(b"\r\n\r\n")
    start, *headers = head.split(b"\r\n")
    assert start == b"POST /invoke HTTP/1.1"
    assert b"x-fc-request-id: r-1" in headers
    assert b"content-length: 5" in headers
    assert body == b"event"


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([ANSWER], id="whole"),
        pytest.param([ANSWER[:7], ANSWER[7:]], id="inside the status line"),
        pytest.param([ANSWER[: HEAD_BYTES - 2], ANSWER[HEAD_BYTES - 2 :]], id="inside the end"),
        pytest.param([ANSWER[:HEAD_BYTES], ANSWER[HEAD_BYTES:]], id="between head and body"),
        pytest.param([ANSWER[: HEAD_BYTES + 2], ANSWER[HEAD_BYTES + 2 :]], id="inside the body"),
        pytest.param([ANSWER[at : at + 1] for at in range(len(ANSWER))], id="single bytes"),
    ],
)
async def test_an_answer_is_the_same_in_whatever_pieces_it_comes(
    line: Line, pieces: list[bytes]
) -> None:
    """Heads and bodies may be cut anywhere; header names come in lower case."""
    task = await line.asked()

    await line.say(*pieces)
    reply = await task

    assert reply == Reply(200, {"content-length": "5", "x-fc-status": "404"}, b"hello")
    assert line.channel.open


async def test_a_connection_carries_one_request_after_the_other(line: Line) -> None:
    """Nothing of an answer is left for the next one."""
    first = await line.asked()
    await line.say(ANSWER)
    second = await line.asked()
    await line.say(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")

    replies = await first, await second

    assert [(reply.status, reply.body) for reply in replies] == [(200, b"hello"), (404, b"")]
    assert line.channel.open


async def test_bytes_behind_an_answer_end_the_connection_after_it(line: Line) -> None:
    """The answer itself is good; what follows it belongs to no request."""
    task = await line.asked()

    await line.say(ANSWER + b"!")
    reply = await task

    assert reply.body == b"hello"
    assert not line.channel.open


@pytest.mark.parametrize("more", [ANSWER, ANSWER[:7]], ids=["an answer", "a piece"])
async def test_bytes_right_behind_an_answer_never_reach_the_next_request(
    line: Line, more: bytes
) -> None:
    """They may come before the caller has taken the answer."""
    task = await line.asked()

    line.channel.data_received(ANSWER)
    line.channel.data_received(more)
    reply = await task

    assert reply.body == b"hello"
    assert not line.channel.open
    with pytest.raises(ChannelClosed):
        await line.channel.exchange(request_of())


async def test_a_header_of_the_callers_goes_out_with_the_bytes_it_came_with(line: Line) -> None:
    """Also those that are no UTF-8: the HTTP server gives them as lone surrogates."""
    span = b"a:b\xff".decode("utf-8", "surrogateescape")
    request = replace(request_of(), context=replace(context_of(), span_context=span))
    task = asyncio.create_task(line.channel.exchange(request))

    heard = await line.hear()
    await line.say(ANSWER)
    await task

    assert b"span-context: a:b\xff\r\n" in heard


async def test_bytes_without_a_request_end_the_connection(line: Line) -> None:
    """An instance speaks only when asked."""
    await line.say(b"HTTP/1.1 200 OK\r\n")

    heard = await line.hear()

    assert heard == b""
    assert not line.channel.open


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"HTTP/1.0 200 OK\r\ncontent-length: 0", id="version 1.0"),
        pytest.param(b"HTTP/2 200 OK\r\ncontent-length: 0", id="version 2"),
        pytest.param(b"hello", id="no status line"),
        pytest.param(b"HTTP/1.1 fine OK\r\ncontent-length: 0", id="status not a number"),
        pytest.param(b"HTTP/1.1 200 OK", id="no headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked", id="no length"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: ", id="empty length"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: five", id="length in letters"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 1.5", id="length with a fraction"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: -1", id="length below zero"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: +5", id="length with a sign"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 1_0", id="length in groups"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nnonsense", id="no colon"),
    ],
)
async def test_a_head_that_is_not_http_with_a_length_ends_the_connection(
    line: Line, head: bytes
) -> None:
    """The request fails at once and the instance sees end of file."""
    task = await line.asked()
    await line.hear()

    await line.say(head + b"\r\n\r\n")

    with pytest.raises(ChannelClosed, match="not HTTP with a content-length"):
        await task
    assert not line.channel.open
    assert await line.hear() == b""


async def test_a_head_without_end_is_given_up_at_its_limit(line: Line) -> None:
    """It is awaited up to the limit and not a byte longer."""
    start = b"HTTP/1.1 200 OK\r\nx: "
    task = await line.asked()

    await line.say(start.ljust(MAX_HEAD_BYTES, b"x"))
    awaited = not task.done()
    await line.say(b"x")

    assert awaited
    with pytest.raises(ChannelClosed, match="too long"):
        await task
    assert not line.channel.open


async def test_a_head_over_its_limit_is_refused_even_when_it_is_complete(line: Line) -> None:
    """However it arrives, a head has the same limit."""
    end = b"\r\ncontent-length: 0\r\n\r\n"
    task = await line.asked()

    line.channel.data_received(b"HTTP/1.1 200 OK\r\nx: ".ljust(MAX_HEAD_BYTES, b"x") + end)

    with pytest.raises(ChannelClosed, match="too long"):
        await task
    assert not line.channel.open


async def test_an_answer_of_the_largest_size_arrives(line: Line) -> None:
    """The limit is inclusive."""
    body = bytes(MAX_RESULT_BYTES)
    task = await line.asked()

    await line.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body), body)
    reply = await task

    assert reply.body == body
    assert line.channel.open


async def test_an_answer_over_the_largest_size_is_refused_by_its_head(line: Line) -> None:
    """Nothing of such a body is awaited."""
    task = await line.asked()

    await line.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (MAX_RESULT_BYTES + 1))

    with pytest.raises(ChannelClosed, match=f"{MAX_RESULT_BYTES + 1} bytes is over"):
        await task
    assert not line.channel.open


@pytest.mark.parametrize("value", [b"close", b"Close"])
async def test_an_instance_can_announce_its_last_answer(line: Line, value: bytes) -> None:
    """After ``connection: close`` the answer counts and no other request may follow."""
    task = await line.asked()

    await line.say(b"HTTP/1.1 200 OK\r\nConnection: %s\r\ncontent-length: 2\r\n\r\nok" % value)
    reply = await task

    assert reply.body == b"ok"
    assert not line.channel.open
    with pytest.raises(ChannelClosed, match="cannot carry"):
        await line.channel.exchange(request_of())


async def test_cancelling_an_exchange_closes_the_connection(line: Line) -> None:
    """A late answer must never reach another request."""
    task = await line.asked()
    await line.hear()

    task.cancel()
    await settle()

    assert task.cancelled()
    assert not line.channel.open
    assert await line.hear() == b""


@pytest.mark.parametrize("said", [b"", ANSWER[:7], ANSWER[:-1]], ids=["nothing", "head", "body"])
async def test_a_peer_that_goes_away_fails_the_request(line: Line, said: bytes) -> None:
    """Wherever the answer stopped, it is a connection error."""
    task = await line.asked()
    await line.hear()
    await line.say(said)

    line.instance.close()

    with pytest.raises(ConnectionError, match="the connection ended"):
        await task
    assert not line.channel.open


async def test_a_peer_that_went_away_between_requests_takes_no_other(line: Line) -> None:
    """The channel knows before it is asked."""
    line.instance.close()
    await settle()

    with pytest.raises(ConnectionError):
        await line.channel.exchange(request_of())

    assert not line.channel.open


async def test_a_channel_without_connection_takes_no_request() -> None:
    """It says so and does not wait."""
    channel = PushChannel()

    with pytest.raises(ChannelClosed, match="cannot carry"):
        await channel.exchange(request_of())


async def test_a_second_request_is_refused_and_the_first_goes_on(line: Line) -> None:
    """One at a time, and the one that runs does not notice."""
    first = await line.asked()

    with pytest.raises(ChannelClosed, match="cannot carry"):
        await line.channel.exchange(request_of())
    await line.say(ANSWER)
    reply = await first

    assert reply.body == b"hello"
    assert line.channel.open


def test_baggages_are_json_in_base64() -> None:
    """They come back as they were, in one header value without line breaks."""
    baggages = {"user": "ünï", "long": "x" * 200}

    value = invoke_headers(request_of(baggages=baggages))["x-fc-tracing-opentracing-span-baggages"]

    assert json.loads(base64.b64decode(value, validate=True)) == baggages


def test_no_baggages_are_an_empty_value() -> None:
    """The header is there all the same."""
    headers = invoke_headers(request_of())

    assert headers["x-fc-tracing-opentracing-span-baggages"] == ""


def test_headers_tell_what_the_context_says() -> None:
    """Numbers are decimal, and what is not known is empty."""
    headers = invoke_headers(request_of())

    assert headers["x-fc-function-name"] == "f"
    assert headers["x-fc-function-handler"] == "index.handler"
    assert headers["x-fc-function-memory"] == "512"
    assert headers["x-fc-function-timeout"] == "60"
    assert headers["x-fc-retry-count"] == "0"
    assert headers["x-fc-security-token"] == ""
