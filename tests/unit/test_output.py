"""What an instance prints becomes lines and marks, and goes to the request it belongs to."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.core.limits import LOG_KEPT_BYTES, MAX_LOG_LINE_BYTES
from emulator.drivers.output import Line, Mark, Output, OutputSplitter, is_platform
from tests.support.strategies import cuts

TOKEN = "0123456789abcdef"

PRINTED = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from(
            [
                b"\n",
                b"\r\n",
                b"\x1e",
                b"\x1e" + TOKEN.encode(),
                b"\x1e" + TOKEN.encode() + b" end r-1\n",
                b"\x1eother end r-1\n",
                b" end r-2\n",
            ]
        ),
    ),
    max_size=12,
).map(b"".join)


def mark_of(request_id: str, token: str = TOKEN) -> bytes:
    """What the bootstrap writes at the end of a request."""
    return f"\x1e{token} end {request_id}\n".encode()


def split(*pieces: bytes) -> list[Line | Mark]:
    """Feed the pieces one by one up to the end of the stream."""
    splitter = OutputSplitter(TOKEN)
    found = [item for piece in pieces for item in splitter.feed(piece)]
    return found + splitter.finish()


class Reader:
    """An output at the reading end of a pipe; what it tells of is kept in order."""

    def __init__(self, writing: int) -> None:
        self.lines: asyncio.Queue[tuple[str | None, bytes]] = asyncio.Queue()
        self.output = Output(
            TOKEN,
            lambda request_id, line: self.lines.put_nowait((request_id, line)),
            lambda line: line.replace(b"/tmp/f", b"/code"),
        )
        self._writing: int | None = writing

    def print(self, data: bytes) -> None:
        """Write as the instance."""
        assert self._writing is not None
        assert os.write(self._writing, data) == len(data)

    def end(self) -> None:
        """Close the writing end. Twice is fine."""
        if self._writing is not None:
            os.close(self._writing)
            self._writing = None

    async def heard(self) -> tuple[str | None, bytes]:
        """Give the next line that was told of."""
        async with asyncio.timeout(5):
            return await self.lines.get()


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    """An output that reads a real pipe."""
    reading, writing = os.pipe()
    reader = Reader(writing)
    pipe = os.fdopen(reading, "rb", buffering=0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: reader.output, pipe)
    yield reader
    reader.output.close()
    reader.end()


@given(data=st.data(), printed=PRINTED)
def test_lines_and_marks_do_not_depend_on_how_the_stream_arrives(
    data: st.DataObject, printed: bytes
) -> None:
    """Any cut, inside a line or a mark, gives the same as the whole at once."""
    pieces = data.draw(cuts(printed))

    found = split(*pieces)

    assert found == split(printed)


@given(data=st.data(), printed=PRINTED.filter(lambda text: TOKEN.encode() not in text))
def test_no_printed_byte_is_lost(data: st.DataObject, printed: bytes) -> None:
    """Without marks of ours the lines together are the stream."""
    pieces = data.draw(cuts(printed))

    found = split(*pieces)

    assert b"".join(item.text for item in found if isinstance(item, Line)) == printed


def test_a_line_is_given_once_its_end_is_there() -> None:
    """Until then it may still grow."""
    splitter = OutputSplitter(TOKEN)

    found = [splitter.feed(b"one\ntw"), splitter.feed(b"o\n"), splitter.finish()]

    assert found == [[Line(b"one\n")], [Line(b"two\n")], []]


def test_the_last_line_needs_no_end() -> None:
    """The end of the stream is the end of the line, and it is given once."""
    splitter = OutputSplitter(TOKEN)
    splitter.feed(b"last")

    found = [splitter.finish(), splitter.finish()]

    assert found == [[Line(b"last")], []]


def test_a_mark_ends_the_line_before_it() -> None:
    """What was printed without a line feed belongs to the request that is over."""
    found = split(b"partial" + mark_of("r-1") + b"next\n")

    assert found == [Line(b"partial"), Mark("r-1"), Line(b"next\n")]


def test_a_mark_with_a_foreign_token_is_text() -> None:
    """A function cannot end its request by printing what looks like a mark."""
    forged = mark_of("r-1", token="fedcba9876543210")

    found = split(forged)

    assert found == [Line(forged)]


def test_a_line_over_its_limit_is_cut() -> None:
    """What is there of it is given, and the rest follows as a line of its own."""
    splitter = OutputSplitter(TOKEN)
    longest = b"x" * MAX_LOG_LINE_BYTES

    found = [splitter.feed(longest), splitter.feed(b"y" * 257), splitter.feed(b"z\n")]

    assert found == [[], [Line(longest)], [Line(b"y" * 257 + b"z\n")]]


def test_a_mark_behind_a_cut_line_counts() -> None:
    """Cutting never loses the end of a request."""
    longest = b"x" * MAX_LOG_LINE_BYTES

    found = split(longest + b"y", mark_of("r-1")[:5], mark_of("r-1")[5:])

    assert found == [Line(longest), Line(b"y"), Mark("r-1")]


@pytest.mark.parametrize(
    "start",
    [b"\x1e", b"\x1e" + TOKEN.encode(), mark_of("r-1")[:-1]],
    ids=["separator", "half a mark", "a mark that does not end"],
)
def test_endless_output_is_given_piece_by_piece_whatever_it_begins_with(start: bytes) -> None:
    """Nothing that looks like the beginning of a mark makes the emulator keep it all."""
    splitter = OutputSplitter(TOKEN)
    pieces = [start, *[b"x" * 10_000] * 100]

    given = b"".join(
        item.text for piece in pieces for item in splitter.feed(piece) if isinstance(item, Line)
    )

    assert len(given) > len(b"".join(pieces)) - 2 * MAX_LOG_LINE_BYTES
    assert b"".join(pieces).startswith(given)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"FC Invoke Start RequestId: r-1\n", True),
        (b"FC Invoke End RequestId: r-1\n", True),
        (b"FunctionCompute python3 runtime inited.\n", True),
        (b"FunctionCompute python3 runtime inited. Really.\n", False),
        (b"FunctionCompute is fine\n", False),
        (b" FC Invoke Start RequestId: r-1\n", False),
        (b"hello\n", False),
    ],
)
def test_lines_of_the_runtime_are_told_from_those_of_the_function(
    line: bytes, expected: bool
) -> None:
    """By how they begin, and the first one also by how it ends."""
    platform = is_platform(line)

    assert platform is expected


async def test_a_request_gets_its_output_once_its_mark_is_read(reader: Reader) -> None:
    """It waits for the mark and for nothing behind it."""
    reader.output.begin("r-1")
    reader.print(b"one\n")
    await reader.heard()
    waiting = asyncio.create_task(reader.output.of_request())

    reader.print(b"two" + mark_of("r-1"))
    text = await waiting

    assert text == b"one\ntwo"


async def test_the_mark_of_another_request_is_not_waited_for(reader: Reader) -> None:
    """A late mark of an earlier request does not cut this one's output short."""
    reader.output.begin("r-2")
    reader.print(mark_of("r-1") + b"mine\n" + mark_of("r-2"))

    text = await reader.output.of_request()

    assert text == b"mine\n"


async def test_a_request_ends_with_the_stream(reader: Reader) -> None:
    """An instance that is gone writes no mark."""
    reader.output.begin("r-1")
    reader.print(b"last words")
    reader.end()

    text = await reader.output.of_request()

    assert text == b"last words"


async def test_what_is_left_is_given_at_the_end_of_the_stream(reader: Reader) -> None:
    """A mark does not end the wait for the end."""
    reader.output.begin("r-1")
    reader.print(b"one\n" + mark_of("r-1") + b"two")
    reader.end()

    text = await reader.output.to_end()

    assert text == b"one\ntwo"


async def test_a_request_after_the_end_of_the_stream_does_not_wait(reader: Reader) -> None:
    """Its output is empty: nobody is there to print."""
    reader.output.begin("r-1")
    reader.end()
    await reader.output.to_end()

    reader.output.begin("r-2")
    text = await reader.output.of_request()

    assert text == b""


async def test_the_first_request_also_gets_what_was_printed_at_start(reader: Reader) -> None:
    """Its caller is the one who waited for that start."""
    reader.print(b"importing\n")
    told = await reader.heard()

    reader.output.begin("r-1")
    reader.print(b"handling\n" + mark_of("r-1"))
    text = await reader.output.of_request()

    assert told == (None, b"importing\n")
    assert text == b"importing\nhandling\n"


async def test_a_later_request_does_not_get_what_was_printed_between(reader: Reader) -> None:
    """It is told of as nobody's and reaches no answer."""
    reader.output.begin("r-1")
    reader.print(b"first\n" + mark_of("r-1"))
    first = await reader.output.of_request()
    reader.print(b"between\n")
    told = [await reader.heard(), await reader.heard()]

    reader.output.begin("r-2")
    reader.print(b"second\n" + mark_of("r-2"))
    second = await reader.output.of_request()

    assert told == [("r-1", b"first\n"), (None, b"between\n")]
    assert (first, second) == (b"first\n", b"second\n")


async def test_lines_are_rewritten_in_answers_only(reader: Reader) -> None:
    """The caller sees the instance's paths, the log those of this machine."""
    reader.output.begin("r-1")
    reader.print(b"File /tmp/f/index.py\n" + mark_of("r-1"))

    text = await reader.output.of_request()
    told = await reader.heard()

    assert text == b"File /code/index.py\n"
    assert told == ("r-1", b"File /tmp/f/index.py\n")


async def test_kept_text_is_bounded_and_the_newest(reader: Reader) -> None:
    """However much a request prints, its oldest output goes first; every line is told of."""
    lines = [f"{number:06}".encode().ljust(1023, b".") + b"\n" for number in range(1000)]
    reader.output.begin("r-1")

    for line in lines:
        reader.output.data_received(line)
    reader.output.data_received(mark_of("r-1"))
    text = await reader.output.of_request()

    assert LOG_KEPT_BYTES <= len(text) <= 2 * LOG_KEPT_BYTES
    assert b"".join(lines).endswith(text)
    assert reader.lines.qsize() == len(lines)


async def test_closing_twice_is_fine(reader: Reader) -> None:
    """The end of reading is the end of the stream."""
    reader.output.begin("r-1")

    reader.output.close()
    reader.output.close()
    text = await reader.output.to_end()

    assert text == b""


def test_a_stream_without_line_ends_is_cut_whatever_it_holds() -> None:
    """A byte that begins a mark is no reason to keep everything."""
    splitter = OutputSplitter("token")
    piece = b"\x1e" + b"x" * MAX_LOG_LINE_BYTES

    found = [item for _ in range(100) for item in splitter.feed(piece)] + splitter.finish()

    texts = [item.text for item in found if isinstance(item, Line)]
    assert b"".join(texts) == piece * 100
    assert max(map(len, texts)) <= MAX_LOG_LINE_BYTES + 256


def test_a_complete_line_that_is_too_long_is_cut_as_well() -> None:
    """A mark behind it is found."""
    splitter = OutputSplitter("token")

    found = splitter.feed(b"y" * 200_000 + b"\x1etoken end id\n")

    assert found[-1] == Mark("id")
    texts = [item.text for item in found if isinstance(item, Line)]
    assert b"".join(texts) == b"y" * 200_000
    assert max(map(len, texts)) <= MAX_LOG_LINE_BYTES
