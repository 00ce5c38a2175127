"""What a caller's headers ask of an invocation."""

import pytest
from multidict import CIMultiDict

from emulator.api.headers import (
    BAGGAGE_PREFIX,
    DELAY,
    LOG_TYPE,
    SPAN,
    TASK_ENABLE,
    TRACE_ID,
    TYPE,
    read_invoke_options,
    read_request_id,
)
from emulator.core.errors import ApiError, ErrorCode
from emulator.core.request import InvocationType, InvokeOptions, LogType

UUID_TEXT = "0f8fad5b-d9cb-469f-a165-70867728950e"


def headers_of(*pairs: tuple[str, str]) -> CIMultiDict[str]:
    """Headers as they arrive, repeated ones too."""
    return CIMultiDict(pairs)


def refusal_of(*pairs: tuple[str, str]) -> ApiError:
    """Give the error with which these headers are refused."""
    with pytest.raises(ApiError) as caught:
        read_invoke_options(headers_of(*pairs))
    return caught.value


def delayed(text: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """The headers of an asynchronous invocation with this delay."""
    return (TYPE, "Async"), (DELAY, text)


def test_without_headers_an_invocation_is_synchronous_and_without_log() -> None:
    """The defaults of the service."""
    options = read_invoke_options(headers_of(("Host", "localhost")))

    assert options == InvokeOptions(InvocationType.SYNC, LogType.NONE, 0)


@pytest.mark.parametrize(
    ("text", "expected"), [("Sync", InvocationType.SYNC), ("Async", InvocationType.ASYNC)]
)
def test_the_invocation_type_is_read(text: str, expected: InvocationType) -> None:
    """The name of the header may come in any case."""
    options = read_invoke_options(headers_of((TYPE.lower(), text)))

    assert options.invocation_type is expected


@pytest.mark.parametrize("text", ["sync", "ASYNC", "Later", "", "Sync, Async"])
def test_another_invocation_type_is_refused(text: str) -> None:
    """With the text of the service: what is allowed and what was given."""
    error = refusal_of((TYPE, text))

    assert (error.code, error.status) == (ErrorCode.INVALID_ARGUMENT, 400)
    assert error.message == (
        f"InvocationType is set to an invalid value (allowed: Sync | Async, actual: '{text}')"
    )


def test_an_invocation_type_may_be_repeated() -> None:
    """As long as it says the same."""
    options = read_invoke_options(headers_of((TYPE, "Async"), (TYPE, "Async")))

    assert options.invocation_type is InvocationType.ASYNC


@pytest.mark.parametrize(
    ("name", "values"), [(TYPE, ("Sync", "Async")), (LOG_TYPE, ("None", "Tail"))]
)
def test_different_values_of_one_header_are_refused(name: str, values: tuple[str, str]) -> None:
    """Neither the first nor the last wins in silence."""
    error = refusal_of((name, values[0]), (name.upper(), values[1]))

    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert error.message == f"{name} is given with different values; give it once"


@pytest.mark.parametrize(("text", "expected"), [("None", LogType.NONE), ("Tail", LogType.TAIL)])
def test_the_log_type_is_read(text: str, expected: LogType) -> None:
    """A synchronous caller may ask for the log."""
    options = read_invoke_options(headers_of((LOG_TYPE, text)))

    assert options.log_type is expected


@pytest.mark.parametrize("kind", ["Sync", "Async"])
@pytest.mark.parametrize("text", ["tail", "NONE", "", "All"])
def test_another_log_type_is_refused(text: str, kind: str) -> None:
    """With both that exist, whatever the invocation type."""
    error = refusal_of((TYPE, kind), (LOG_TYPE, text))

    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert error.message == (
        f"LogType is set to an invalid value (allowed: Tail | None, actual: '{text}')"
    )


def test_an_asynchronous_caller_cannot_have_the_log() -> None:
    """The function has not run yet when the answer goes out."""
    error = refusal_of((TYPE, "Async"), (LOG_TYPE, "Tail"))

    assert error.message == "LogType is set to an invalid value (allowed: None, actual: 'Tail')"


def test_an_asynchronous_caller_may_decline_the_log() -> None:
    """``None`` is what it gets anyway."""
    options = read_invoke_options(headers_of((TYPE, "Async"), (LOG_TYPE, "None")))

    assert options.log_type is LogType.NONE


def test_a_long_value_is_not_repeated_in_full() -> None:
    """The text of a refusal is bounded."""
    error = refusal_of((TYPE, "x" * 5000))

    assert error.message.endswith(f"actual: '{'x' * 200}')")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1", 1),
        ("10", 10),
        ("3600", 3600),
        ("007", 7),
        ("03600", 3600),
        ("0003600", 3600),
        (" 5", 5),
        ("5 ", 5),
        ("\t 5 \t", 5),
        pytest.param("0" * 5000, 0, id="5000 zeros"),
        pytest.param("0" * 5000 + "5", 5, id="5000 zeros then 5"),
    ],
)
def test_a_delay_is_whole_seconds_up_to_an_hour(text: str, expected: int) -> None:
    """Leading zeros and blanks around do not matter."""
    options = read_invoke_options(headers_of(*delayed(text)))

    assert options.delay_s == expected
    assert options.ignored == ()


def test_without_the_header_there_is_no_delay() -> None:
    """It starts as soon as there is room."""
    options = read_invoke_options(headers_of((TYPE, "Async")))

    assert options.delay_s == 0


@pytest.mark.parametrize(
    "text",
    [
        "-1",
        "-0",
        "3601",
        "9999",
        "10000",
        "0003601",
        "1.5",
        "5.0",
        "1e3",
        "+5",
        "0x10",
        "1_0",
        "1 0",
        "1,2",
        "5s",
        "soon",
        "",
        " ",
        "\N{ARABIC-INDIC DIGIT FIVE}",
        "\N{ARABIC-INDIC DIGIT ONE}\N{ARABIC-INDIC DIGIT TWO}",
        "\N{SUPERSCRIPT TWO}",
        "\N{NO-BREAK SPACE}5",
        "5\n",
        pytest.param("9" * 5000, id="5000 digits"),
        pytest.param("1" + "0" * 4999, id="1 then 4999 zeros"),
        pytest.param("0" * 5000 + "3601", id="5000 zeros then 3601"),
    ],
)
def test_another_delay_is_refused(text: str) -> None:
    """What is not a whole number of seconds up to an hour is the caller's mistake."""
    error = refusal_of(*delayed(text))

    actual = text.strip(" \t")[:200]
    assert (error.code, error.status) == (ErrorCode.INVALID_ARGUMENT, 400)
    assert error.message == (
        f"{DELAY} is set to an invalid value "
        f"(allowed: an integer from 0 to 3600 in seconds, actual: '{actual}')"
    )


@pytest.mark.parametrize("second", ["5", "6"])
def test_a_repeated_delay_is_refused(second: str) -> None:
    """Even where it says the same."""
    error = refusal_of(*delayed("5"), (DELAY.lower(), second))

    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert error.message == f"{DELAY} is given 2 times; give it once"


@pytest.mark.parametrize("text", ["5", "-1", ""])
def test_a_delay_of_a_synchronous_invocation_is_ignored_and_said_so(text: str) -> None:
    """Whatever its value."""
    options = read_invoke_options(headers_of((DELAY, text)))

    assert options.delay_s == 0
    assert options.ignored == (f"{DELAY} has no effect without {TYPE}: Async",)


def test_task_mode_is_not_there_yet() -> None:
    """Better said than half done."""
    error = refusal_of((TYPE, "Async"), (TASK_ENABLE, "true"))

    assert error.code is ErrorCode.NOT_IMPLEMENTED
    assert TASK_ENABLE in error.message


@pytest.mark.parametrize(("kind", "enable"), [("Async", "false"), ("Sync", "true")])
def test_without_task_mode_an_invocation_is_an_ordinary_one(kind: str, enable: str) -> None:
    """Switched off, or without effect on a synchronous invocation."""
    options = read_invoke_options(headers_of((TYPE, kind), (TASK_ENABLE, enable)))

    assert options.invocation_type == kind


@pytest.mark.parametrize("text", [UUID_TEXT, UUID_TEXT.upper()])
def test_a_uuid_as_trace_id_becomes_the_request_id(text: str) -> None:
    """In lower case, as all request ids."""
    request_id = read_request_id(headers_of((TRACE_ID.upper(), text)))

    assert request_id == UUID_TEXT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "trace-1",
        UUID_TEXT.replace("-", ""),
        f"{{{UUID_TEXT}}}",
        f"urn:uuid:{UUID_TEXT}",
        UUID_TEXT[:-1],
        f"{UUID_TEXT}0",
        f"{UUID_TEXT} ",
        f"{UUID_TEXT[:-1]}g",
        "x" * 36,
    ],
)
def test_another_shape_of_trace_id_is_ignored(text: str) -> None:
    """The request gets an id of ours."""
    request_id = read_request_id(headers_of((TRACE_ID, text)))

    assert request_id is None


def test_without_trace_id_the_request_id_is_ours() -> None:
    """Nothing is made up here."""
    request_id = read_request_id(headers_of())

    assert request_id is None


def test_the_span_context_is_passed_on_as_it_came() -> None:
    """It is the caller's own text."""
    options = read_invoke_options(headers_of((SPAN.lower(), "ab:cd:0:1")))

    assert options.span_context == "ab:cd:0:1"
    assert options.span_baggages == {}


def test_baggages_are_named_by_what_follows_the_prefix() -> None:
    """Names in lower case, values as they came; other headers are none."""
    headers = headers_of(
        (f"{BAGGAGE_PREFIX}user", "Ann"),
        (f"{BAGGAGE_PREFIX.title()}Request-Kind", "A=B"),
        (SPAN, "span"),
        (f"x-{BAGGAGE_PREFIX}no", "no"),
    )

    options = read_invoke_options(headers)

    assert options.span_baggages == {"user": "Ann", "request-kind": "A=B"}


@pytest.mark.parametrize(
    "text",
    [
        "urn:0f8fad5bd9cb469fa1657086772895ab",
        "----0f8fad5bd9cb469fa1657086772895ab",
        "0f8fad5b-d9cb-469f-a165-7086772895a_",
        "0f8fad5b-d9cb-469f-a165-70867728950\n",
        "\u0660f8fad5b-d9cb-469f-a165-708677289501",
    ],
)
def test_36_characters_that_are_no_uuid_are_no_request_id(text: str) -> None:
    """What a lenient reader would make a UUID of would be another id than the caller's."""
    headers = CIMultiDict({"X-Fc-Trace-Id": text})

    assert read_request_id(headers) is None
