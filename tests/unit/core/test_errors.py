"""What a caller is told: codes, statuses and texts as the API's list of error codes has them."""

import pytest

from emulator.core.errors import (
    STATUS,
    ApiError,
    ErrorCode,
    function_not_found,
    invalid,
    not_implemented,
    path_not_supported,
    payload_too_large,
    qualifier_not_found,
    service_not_found,
)


@pytest.mark.parametrize(
    ("error", "code", "status", "message"),
    [
        (
            invalid("MemorySize is odd"),
            "InvalidArgument",
            400,
            "MemorySize is odd",
        ),
        (
            path_not_supported("BREW", "/2016-08-15/pots"),
            "PathNotSupported",
            400,
            "'BREW' against '/2016-08-15/pots' is not supported",
        ),
        (
            payload_too_large(131_072),
            "EntityTooLarge",
            400,
            "payload size exceeds maximum allowed size (131072 bytes)",
        ),
        (
            service_not_found("svc"),
            "ServiceNotFound",
            404,
            "service 'svc' does not exist",
        ),
        (
            function_not_found("fn", "svc"),
            "FunctionNotFound",
            404,
            "function 'fn' does not exist in service 'svc'",
        ),
        (
            qualifier_not_found("7", "svc"),
            "VersionNotFound",
            404,
            "version '7' of service 'svc' does not exist",
        ),
        (
            qualifier_not_found("prod", "svc"),
            "AliasNotFound",
            404,
            "alias 'prod' of service 'svc' does not exist",
        ),
        (
            not_implemented("CreateService"),
            "NotImplemented",
            501,
            "CreateService is not emulated by this version of fc-emu",
        ),
    ],
)
def test_error_has_its_code_status_and_text(error: ApiError, code: str, status: int, message: str):
    assert (error.code, error.status, error.message) == (code, status, message)
    assert str(error) == f"{code}: {message}"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (ErrorCode.ACCESS_DENIED, 403),
        (ErrorCode.REQUEST_TIMEOUT, 408),
        (ErrorCode.INTERNAL_SERVER_ERROR, 500),
        (ErrorCode.RESOURCE_THROTTLED, 503),
    ],
)
def test_error_without_a_text_of_its_own_takes_any(code: ErrorCode, status: int):
    error = ApiError(code, "why")

    assert (error.status, error.message) == (status, "why")


def test_every_code_has_a_status():
    assert set(STATUS) == set(ErrorCode)


def test_digits_of_another_script_do_not_make_a_version():
    assert qualifier_not_found("١٢", "svc").code is ErrorCode.ALIAS_NOT_FOUND
