"""What became of an attempt, and the bodies of failures that the function did not write."""

import json

import pytest

from emulator.core.errors import ErrorCode
from emulator.core.outcome import (
    WORDS,
    FunctionFailed,
    Outcome,
    Refused,
    Returned,
    SystemFailed,
    Throttled,
    classify,
    exited,
    timed_out,
)
from emulator.core.request import Reply


def test_answer_with_200_is_the_result():
    outcome = classify(Reply(200, {}, b"42", b"a log line\n"))

    assert outcome == Returned(b"42", b"a log line\n")


@pytest.mark.parametrize(
    ("status", "error_type"),
    [
        (417, "HandledInvocationError"),
        (400, "UnhandledInvocationError"),
        (404, "UnhandledInvocationError"),
        (429, "UnhandledInvocationError"),
        (500, "UnhandledInvocationError"),
        (204, "UnhandledInvocationError"),
        (-1, "UnhandledInvocationError"),
    ],
)
def test_any_other_status_is_a_failure_with_the_body_as_it_came(status: int, error_type: str):
    outcome = classify(Reply(status, {}, b'{"errorMessage":"no"}', b"log"))

    assert outcome == FunctionFailed(error_type, b'{"errorMessage":"no"}', b"log")


@pytest.mark.parametrize(
    ("duration_ms", "peak_mb", "facts"),
    [
        (45.4, 49.2, "duration: 45ms, maxMemoryUsage: 49MB"),
        (0.2, 10.7, "duration: 0ms, maxMemoryUsage: 11MB"),
        (6.0, None, "duration: 6ms"),
    ],
)
def test_exit_is_told_with_duration_and_memory(
    duration_ms: float, peak_mb: float | None, facts: str
):
    outcome = exited(duration_ms, peak_mb, b"log")

    assert outcome.error_type == "UnhandledInvocationError"
    assert outcome.log == b"log"
    assert json.loads(outcome.body) == {
        "errorMessage": f"Process exited unexpectedly before completing request ({facts})"
    }


def test_exit_for_lack_of_memory_names_the_limit():
    told = json.loads(exited(45, 128.0, b"", memory_limit_mb=128).body)["errorMessage"]

    assert told == (
        "Process exited unexpectedly before completing request "
        "(duration: 45ms, maxMemoryUsage: 128MB): out of memory, the limit is 128MB"
    )


@pytest.mark.parametrize(
    ("timeout_s", "peak_mb", "text"),
    [
        (3.0, 112.24, "Function timed out after 3 seconds (maxMemoryUsage: 112.24MB)"),
        (86_400.0, 7.0, "Function timed out after 86400 seconds (maxMemoryUsage: 7.00MB)"),
        (0.5, None, "Function timed out after 0.5 seconds"),
    ],
)
def test_timeout_is_told_with_its_seconds_and_memory(
    timeout_s: float, peak_mb: float | None, text: str
):
    outcome = timed_out(timeout_s, peak_mb, b"log")

    assert outcome.error_type == "UnhandledInvocationError"
    assert outcome.log == b"log"
    assert json.loads(outcome.body) == {"errorMessage": text}


def test_bodies_are_compact():
    assert b": " not in exited(1, None, b"").body.replace(b"duration: ", b"")


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Returned(b""), "returned"),
        (FunctionFailed("UnhandledInvocationError", b""), "function-error"),
        (Throttled(), "throttled"),
        (SystemFailed("why"), "system"),
        (Refused(ErrorCode.FUNCTION_NOT_FOUND, "why"), "refused"),
    ],
)
def test_each_outcome_has_its_word(outcome: Outcome, expected: str):
    assert WORDS[type(outcome)] == expected
