"""How functions are named, by programs and by people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.core.errors import ApiError, ErrorCode
from emulator.core.refs import FunctionRef, is_function_name, parse_id, parse_path_ref
from tests.support.strategies import function_names, names

UNFIT = [
    "../etc",
    "..",
    "/",
    "a/b",
    "\0",
    "a\0b",
    "a b",
    " ",
    "hello\n",
    "😀",
    "héllo",
    "١٢",
    "1st",
    "-dash",
    "",
    "%2e%2e",
    "a:b",
]
"""What neither a service nor a function can be called."""


@pytest.mark.parametrize(
    ("service", "function", "ref"),
    [
        ("svc", "fn", FunctionRef("svc", "fn", "LATEST")),
        ("svc.", "fn", FunctionRef("svc", "fn", "LATEST")),
        ("svc.LATEST", "fn", FunctionRef("svc", "fn", "LATEST")),
        ("svc.12", "fn", FunctionRef("svc", "fn", "12")),
        ("svc.prod", "fn", FunctionRef("svc", "fn", "prod")),
        ("_s-1", "svc$fn", FunctionRef("_s-1", "svc$fn")),
        ("S" * 128, "f" * 128, FunctionRef("S" * 128, "f" * 128)),
    ],
)
def test_path_segments_name_a_function(service: str, function: str, ref: FunctionRef):
    assert parse_path_ref(service, function) == ref


@pytest.mark.parametrize("name", UNFIT)
def test_unfit_service_name_is_refused_by_its_field(name: str):
    with pytest.raises(ApiError, match="ServiceName is set to an invalid value") as refusal:
        parse_path_ref(name, "fn")

    assert refusal.value.code is ErrorCode.INVALID_ARGUMENT


@pytest.mark.parametrize("name", [*UNFIT, "fn.1"])
def test_unfit_function_name_is_refused_with_what_it_was(name: str):
    with pytest.raises(ApiError, match="FunctionName is set to an invalid value") as refusal:
        parse_path_ref("svc", name)

    assert refusal.value.code is ErrorCode.INVALID_ARGUMENT
    assert repr(name) in refusal.value.message
    assert not is_function_name(name)


@pytest.mark.parametrize("qualifier", ["../etc", "a b", "1.2", "1st", "\0", "😀", "١٢", "$LATEST"])
def test_unfit_qualifier_is_refused_by_its_field(qualifier: str):
    with pytest.raises(ApiError, match="Qualifier is set to an invalid value") as refusal:
        parse_path_ref(f"svc.{qualifier}", "fn")

    assert refusal.value.code is ErrorCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("field", "service", "function"),
    [
        ("ServiceName", "s" * 129, "fn"),
        ("FunctionName", "svc", "f" * 129),
        ("Qualifier", "svc." + "q" * 129, "fn"),
        ("Qualifier", "svc." + "1" * 129, "fn"),
    ],
)
def test_name_of_129_characters_is_refused_by_its_length(field: str, service: str, function: str):
    with pytest.raises(ApiError) as refusal:
        parse_path_ref(service, function)

    assert refusal.value.code is ErrorCode.INVALID_ARGUMENT
    assert refusal.value.message == (
        f"{field} exceeds the maximum allowed length (max: 128, actual: 129 characters)"
    )


def test_refusal_of_a_very_long_name_is_short():
    with pytest.raises(ApiError) as refusal:
        parse_path_ref("svc", "f" * 1_000_000)

    assert len(refusal.value.message) < 200


def test_dollar_is_for_functions_only():
    with pytest.raises(ApiError, match="ServiceName"):
        parse_path_ref("svc$1", "fn")

    assert is_function_name("svc$fn")
    assert is_function_name("f" * 128)
    assert not is_function_name("f" * 129)


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("hello", FunctionRef("default", "hello")),
        ("svc/hello", FunctionRef("svc", "hello")),
        ("svc.2/hello", FunctionRef("svc", "hello", "2")),
        ("svc./hello", FunctionRef("svc", "hello", "LATEST")),
    ],
)
def test_person_names_a_function(text: str, ref: FunctionRef):
    assert parse_id(text) == ref


@pytest.mark.parametrize("text", ["", "/", "a/b/c", "svc/", "/hello", "hello.2", "../hello"])
def test_what_a_person_cannot_mean_is_refused(text: str):
    with pytest.raises(ApiError) as refusal:
        parse_id(text)

    assert refusal.value.code is ErrorCode.INVALID_ARGUMENT


@given(names(), function_names(), names() | st.integers(1, 10**9).map(str))
def test_any_fit_names_are_taken_as_they_are(service: str, function: str, qualifier: str):
    assert parse_path_ref(f"{service}.{qualifier}", function) == FunctionRef(
        service, function, qualifier
    )
    assert parse_id(f"{service}/{function}") == FunctionRef(service, function)


@given(st.text(), st.text())
def test_any_text_is_a_name_or_is_refused(service: str, function: str):
    try:
        ref = parse_path_ref(service, function)
    except ApiError as refusal:
        assert refusal.code is ErrorCode.INVALID_ARGUMENT
        return

    assert is_function_name(ref.function)
    assert ref.service.isascii()
    assert ref.qualifier.isascii()
