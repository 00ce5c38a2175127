"""Lines: in order, on their stream, and never in anybody's way."""

import json
import logging
import os
from collections.abc import Iterator
from io import StringIO

import pytest

from emulator.core.errors import ErrorCode
from emulator.core.outcome import (
    FunctionFailed,
    Outcome,
    Refused,
    Returned,
    SystemFailed,
    Throttled,
)
from emulator.core.refs import FunctionRef
from emulator.engine.events import (
    CodeChanged,
    Event,
    Fault,
    InstanceStarted,
    InstanceStopped,
    InvocationFinished,
    JobAccepted,
    JobSettled,
    LogLine,
    Notice,
)
from emulator.log import EventLog, LineWriter, Style, describe, printable, set_up_logging


def finished(outcome: Outcome, *, cold: bool = False) -> InvocationFinished:
    """An invocation that ended like this."""
    return InvocationFinished(
        request_id="id-1",
        ref=FunctionRef("default", "f"),
        function="f",
        kind="sync",
        outcome=outcome,
        instance="c-1",
        checksum="1",
        cold_start=cold,
        queued_ms=0.0,
        start_ms=40.0,
        run_ms=1.25,
        peak_mb=None,
    )


def told(*events: Event, style: Style | None = None) -> tuple[str, str]:
    """What is on standard output and standard error after these events."""
    out, err = StringIO(), StringIO()
    lines = LineWriter(out, err)
    log = EventLog(lines, style or Style())
    for event in events:
        log(event)
    lines.close()
    return out.getvalue(), err.getvalue()


def line(text: str, *, platform: bool = False) -> LogLine:
    """A line of function f."""
    return LogLine(function="f", instance="c-1", request_id="id-1", text=text, platform=platform)


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Returned(b""), "ok"),
        (FunctionFailed("UnhandledInvocationError", b""), "failed: UnhandledInvocationError"),
        (Throttled(), "no instance was free in time"),
        (SystemFailed("no disk"), "not run: no disk"),
        (Refused(ErrorCode.NOT_IMPLEMENTED, "no java"), "refused: no java"),
    ],
)
def test_each_outcome_is_told_in_a_line(outcome: Outcome, words: str) -> None:
    """Quiet leaves out what went well."""
    _, err = told(finished(outcome))
    _, quiet = told(finished(outcome), style=Style(quiet=True))

    assert err == f"f  sync  {words}  1.2 ms  id-1\n"
    assert quiet == ("" if words == "ok" else err)


def test_a_cold_start_is_told_with_its_time() -> None:
    """What the start took stands beside what the function took."""
    _, err = told(finished(Returned(b""), cold=True))

    assert "1.2 ms + start 40 ms" in err


@pytest.mark.parametrize(
    ("event", "brief", "verbose"),
    [
        (InstanceStarted(function="f", instance="c-1", start_ms=9.6), None, "started in 10 ms"),
        (InstanceStopped(function="f", instance="c-1", reason="idle"), None, "ended (idle)"),
        (CodeChanged(function="f", checksum="1"), "f  reloaded", "f  reloaded"),
        (Notice(text="look"), "notice: look", "notice: look"),
        (Notice(text="look", function="f"), "f  notice: look", "f  notice: look"),
        (
            JobAccepted(request_id="id-1", function="f", due_at=5.0, delayed=True),
            "accepted for later",
            "accepted for later",
        ),
        (JobAccepted(request_id="id-1", function="f", due_at=5.0, delayed=False), None, None),
        (
            JobSettled(
                request_id="id-1",
                function="f",
                outcome=Refused(ErrorCode.FUNCTION_NOT_FOUND, "gone"),
            ),
            "dropped: gone",
            "dropped: gone",
        ),
        (JobSettled(request_id="id-1", function="f", outcome=Returned(b"")), None, None),
    ],
)
def test_other_events_are_told_where_they_tell_enough(
    event: Event, brief: str | None, verbose: str | None
) -> None:
    """Instances are for who asks."""
    for words, text in (
        (brief, describe(event, verbose=False)),
        (verbose, describe(event, verbose=True)),
    ):
        assert (text is None) == (words is None)
        assert words is None or words in (text or "")


def test_a_bug_is_told_with_its_traceback() -> None:
    """Loud, also as JSON."""
    try:
        _ = 1 // 0
    except ZeroDivisionError as error:
        fault = Fault(where="here", error=error)

    _, err = told(fault)
    out, _ = told(fault, style=Style(json_lines=True))

    assert "fc-emu has a bug (here)" in err
    assert "ZeroDivisionError" in err
    assert "ZeroDivisionError" in json.loads(out)["text"]


def test_function_lines_carry_their_function_and_lose_what_steers_a_terminal() -> None:
    """Colours stay on a terminal that has them."""
    event = line("\x1b[31mred\x1b[0m\x07 and\x1b]52;c;x")

    plain, _ = told(event)
    coloured, _ = told(event, style=Style(colour=True))

    assert plain == "[f] red and]52;c;x\n"
    assert coloured == "[f] \x1b[31mred\x1b[0m and]52;c;x\n"
    assert printable("a\tb", colour=False) == "a\tb"


def test_lines_of_the_platform_are_for_who_asks() -> None:
    """``-v`` shows them, in both forms."""
    event = line("FC Invoke Start RequestId: id-1", platform=True)

    assert told(event)[0] == ""
    assert "FC Invoke Start" in told(event, style=Style(verbose=True))[0]
    assert told(event, style=Style(json_lines=True))[0] == ""
    assert "FC Invoke Start" in told(event, style=Style(json_lines=True, verbose=True))[0]


def test_json_lines_are_objects_with_an_event() -> None:
    """Events without one of their own are left out."""
    out, err = told(
        finished(Returned(b"")),
        line("text"),
        CodeChanged(function="f", checksum="7"),
        Notice(text="look"),
        InstanceStarted(function="f", instance="c-1", start_ms=1.0),
        style=Style(json_lines=True),
    )

    objects = [json.loads(text) for text in out.splitlines()]
    assert [one["event"] for one in objects] == ["invocation", "log", "reload", "notice"]
    assert objects[0]["outcome"] == "returned"
    assert objects[0]["runMs"] == 1.25
    assert err == ""


class Flushed(StringIO):
    """A stream whose readers see only what has been flushed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = ""

    def flush(self) -> None:
        self.seen = self.getvalue()


def test_both_streams_are_flushed_when_there_is_nothing_more_to_write() -> None:
    """A line for one stream does not hold back the line before it for the other."""
    out, err = Flushed(), Flushed()
    lines = LineWriter(out, err)

    for number in range(100):
        lines.out(f"out {number}")
        lines.err(f"err {number}")
    lines.close()

    assert out.seen.splitlines() == [f"out {number}" for number in range(100)]
    assert err.seen.splitlines() == [f"err {number}" for number in range(100)]


@pytest.fixture
def nobody_reads() -> Iterator[int]:
    """The writing end of a pipe that has no reader."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing


def test_a_stream_that_nobody_reads_leaves_the_other_alone(nobody_reads: int) -> None:
    """And nothing is left in its buffer that would fail when the process ends."""
    err = StringIO()
    with os.fdopen(nobody_reads, "w") as out:
        lines = LineWriter(out, err)
        for number in range(3):
            lines.out("x" * 100_000)
            lines.err(f"err {number}")
        lines.close()

    assert err.getvalue() == "err 0\nerr 1\nerr 2\n"


def test_records_of_libraries_are_one_line_each() -> None:
    """The traceback of a request that was not HTTP is nothing to look at."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    out, err = StringIO(), StringIO()
    lines = LineWriter(out, err)
    try:
        set_up_logging(lines, verbose=False)
        try:
            int("bad request")
        except ValueError:
            logging.getLogger("fc_emu.http").exception("Error handling request")
        logging.getLogger("fc_emu.http").info("too small to tell")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    lines.close()

    assert err.getvalue().startswith("fc_emu.http: Error handling request: ValueError(")
    assert len(err.getvalue().splitlines()) == 1
