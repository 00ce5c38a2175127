"""Engine events as lines: function output on stdout, everything of ours on stderr.

Lines go through a thread with a bounded queue, so that a reader who stalls or goes away never
holds up the emulator; what does not fit is counted and said.
"""

import json
import logging
import os
import queue
import re
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TextIO

import click

from emulator.core.outcome import (
    WORDS,
    FunctionFailed,
    Outcome,
    Refused,
    Returned,
    SystemFailed,
    Throttled,
)
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

MAX_QUEUED_LINES = 10_000
"""Lines that wait for a slow reader. Ours: every buffer has a number."""

FLUSH_DEADLINE_S = 2.0

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Style:
    """How a person wants to be told. ``json_lines`` replaces text by one object per line."""

    json_lines: bool = False
    quiet: bool = False
    verbose: bool = False
    colour: bool = False


class LineWriter:
    """Writes lines to two streams from a thread; never blocks its caller."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._streams = {"out": out, "err": err}
        self._lines: queue.Queue[tuple[str, str] | None] = queue.Queue(MAX_QUEUED_LINES)
        self._lost = 0
        self._thread = threading.Thread(target=self._write_all, name="lines", daemon=True)
        self._thread.start()

    def out(self, line: str) -> None:
        """Queue a line for standard output."""
        self._put("out", line)

    def err(self, line: str) -> None:
        """Queue a line for standard error."""
        self._put("err", line)

    def close(self) -> None:
        """Write what is queued, for a while; a stalled reader is not waited for."""
        try:
            self._lines.put(None, timeout=FLUSH_DEADLINE_S)
        except queue.Full:
            return
        self._thread.join(FLUSH_DEADLINE_S)

    def _put(self, stream: str, line: str) -> None:
        try:
            if self._lost:
                self._lines.put_nowait(("err", f"[{self._lost} lines were not read in time]"))
                self._lost = 0
            self._lines.put_nowait((stream, line))
        except queue.Full:
            self._lost += 1

    def _write_all(self) -> None:
        while (item := self._lines.get()) is not None:
            stream, line = item
            self._try(stream, partial(_write_line, line))
            if self._lines.empty():
                self._flush()
        self._flush()

    def _flush(self) -> None:
        for stream in self._streams:
            self._try(stream, _flush_text)

    def _try(self, stream: str, act: Callable[[TextIO], object]) -> None:
        """Write or flush; when nobody reads a stream any more, it leads nowhere from then on.

        What is left in its buffer would otherwise fail again when the process ends.
        """
        text = self._streams[stream]
        try:
            act(text)
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, text.fileno())
                os.close(nowhere)


def _write_line(line: str, text: TextIO) -> None:
    text.write(f"{line}\n")


def _flush_text(text: TextIO) -> None:
    text.flush()


class EventLog:
    """An event sink that tells people and programs what happens."""

    def __init__(self, lines: LineWriter, style: Style) -> None:
        self._lines = lines
        self._style = style

    def __call__(self, event: Event) -> None:
        """Tell one event."""
        if self._style.json_lines:
            for item in json_objects(event, verbose=self._style.verbose):
                self._lines.out(json.dumps(item, ensure_ascii=False, separators=(",", ":")))
            return
        match event:
            case LogLine() if self._shows(event):
                self._lines.out(f"[{event.function}] {printable(event.text, self._style.colour)}")
            case LogLine():
                pass
            case Fault(where=where, error=error):
                self._lines.err(self._paint(f"fc-emu has a bug ({where}):", "red"))
                for line in "".join(traceback.format_exception(error)).splitlines():
                    self._lines.err(f"  {line}")
            case _:
                self._tell(event)

    def _shows(self, event: LogLine) -> bool:
        return self._style.verbose or not event.platform

    def _tell(self, event: Event) -> None:
        line = describe(event, verbose=self._style.verbose)
        if line is not None and not (self._style.quiet and not _matters(event)):
            self._lines.err(self._paint(line, "red") if _failed(event) else line)

    def _paint(self, line: str, colour: str) -> str:
        return click.style(line, fg=colour) if self._style.colour else line


def describe(event: Event, *, verbose: bool) -> str | None:
    """Give the line that tells an event to a person; None for those that tell too little."""
    match event:
        case InvocationFinished():
            return _invocation(event)
        case JobAccepted(delayed=True, function=function, request_id=request_id):
            return f"{function}  accepted for later  {request_id}"
        case JobSettled(outcome=Refused(message=message), function=function):
            return f"{function}  async  dropped: {message}"
        case CodeChanged(function=function):
            return f"{function}  reloaded"
        case Notice(text=text, function=function):
            return f"{function}  notice: {text}" if function else f"notice: {text}"
        case InstanceStarted(function=function, instance=instance, start_ms=ms) if verbose:
            return f"{function}  instance {instance} started in {ms:.0f} ms"
        case InstanceStopped(function=function, instance=instance, reason=reason) if verbose:
            return f"{function}  instance {instance} ended ({reason})"
        case _:
            return None


def json_objects(event: Event, *, verbose: bool) -> list[dict[str, object]]:
    """Give the objects that tell an event to a program."""
    match event:
        case InvocationFinished():
            return [
                {
                    "event": "invocation",
                    "requestId": event.request_id,
                    "function": event.function,
                    "kind": event.kind,
                    "outcome": WORDS[type(event.outcome)],
                    "instanceId": event.instance,
                    "coldStart": event.cold_start,
                    "queuedMs": round(event.queued_ms, 3),
                    "startMs": round(event.start_ms, 3),
                    "runMs": round(event.run_ms, 3),
                    "maxMemoryMb": event.peak_mb,
                }
            ]
        case LogLine(platform=platform) if verbose or not platform:
            return [
                {
                    "event": "log",
                    "function": event.function,
                    "instanceId": event.instance,
                    "requestId": event.request_id,
                    "text": event.text,
                }
            ]
        case CodeChanged(function=function, checksum=checksum):
            return [{"event": "reload", "function": function, "codeChecksum": checksum}]
        case Notice(text=text, function=function):
            return [{"event": "notice", "function": function, "text": text}]
        case Fault(where=where, error=error):
            text = f"fc-emu has a bug ({where}): {''.join(traceback.format_exception(error))}"
            return [{"event": "notice", "function": None, "text": text}]
        case _:
            return []


def printable(text: str, colour: bool) -> str:
    """Take from a line what could act on a terminal; colours stay on one that has them."""
    if colour:
        parts = _COLOUR.split(text)
        colours = [*_COLOUR.findall(text), ""]
        return "".join(_CONTROL.sub("", p) + c for p, c in zip(parts, colours, strict=True))
    return _CONTROL.sub("", _COLOUR.sub("", text))


def set_up_logging(lines: LineWriter, *, verbose: bool) -> None:
    """Send the log records of libraries to the same place, one line each."""

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                text += f": {record.exc_info[1]!r}"
            lines.err(f"{record.name}: {text}"[:2000])

    root = logging.getLogger()
    root.handlers[:] = [Lines()]
    root.setLevel(logging.INFO if verbose else logging.ERROR)


def _invocation(event: InvocationFinished) -> str:
    cold = f" + start {event.start_ms:.0f} ms" if event.cold_start else ""
    return (
        f"{event.function}  {event.kind}  {_verdict(event.outcome)}  "
        f"{event.run_ms:.1f} ms{cold}  {event.request_id}"
    )


def _verdict(outcome: Outcome) -> str:
    match outcome:
        case Returned():
            return "ok"
        case FunctionFailed(error_type=error_type):
            return f"failed: {error_type}"
        case Throttled():
            return "no instance was free in time"
        case SystemFailed(reason=reason):
            return f"not run: {reason}"
        case Refused(message=message):
            return f"refused: {message}"


def _matters(event: Event) -> bool:
    return isinstance(event, Notice) or _failed(event)


def _failed(event: Event) -> bool:
    return isinstance(event, InvocationFinished) and not isinstance(event.outcome, Returned)
