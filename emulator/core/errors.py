"""The error codes of the API: the only place with a code, its status and its text."""

from enum import StrEnum


class ErrorCode(StrEnum):
    """What a caller can be told. Source: API 2016-08-15, list of error codes."""

    INVALID_ARGUMENT = "InvalidArgument"
    PATH_NOT_SUPPORTED = "PathNotSupported"
    ENTITY_TOO_LARGE = "EntityTooLarge"
    ACCESS_DENIED = "AccessDenied"
    SERVICE_NOT_FOUND = "ServiceNotFound"
    FUNCTION_NOT_FOUND = "FunctionNotFound"
    VERSION_NOT_FOUND = "VersionNotFound"
    ALIAS_NOT_FOUND = "AliasNotFound"
    REQUEST_TIMEOUT = "RequestTimeout"
    INTERNAL_SERVER_ERROR = "InternalServerError"
    NOT_IMPLEMENTED = "NotImplemented"
    RESOURCE_THROTTLED = "ResourceThrottled"
    SERVICE_UNAVAILABLE = "ServiceUnavailable"


STATUS: dict[ErrorCode, int] = {
    ErrorCode.INVALID_ARGUMENT: 400,
    ErrorCode.PATH_NOT_SUPPORTED: 400,
    ErrorCode.ENTITY_TOO_LARGE: 400,
    ErrorCode.ACCESS_DENIED: 403,
    ErrorCode.SERVICE_NOT_FOUND: 404,
    ErrorCode.FUNCTION_NOT_FOUND: 404,
    ErrorCode.VERSION_NOT_FOUND: 404,
    ErrorCode.ALIAS_NOT_FOUND: 404,
    ErrorCode.REQUEST_TIMEOUT: 408,
    ErrorCode.INTERNAL_SERVER_ERROR: 500,
    ErrorCode.NOT_IMPLEMENTED: 501,
    ErrorCode.RESOURCE_THROTTLED: 503,
    ErrorCode.SERVICE_UNAVAILABLE: 503,
}
"""HTTP status of each code. ``NotImplemented``, ``RequestTimeout`` and ``ServiceUnavailable`` are
ours: the service has no code for "the emulator does not do this" nor for "the Docker engine is
gone", and closes slow uploads without an answer."""


class ApiError(Exception):
    """What the caller did wrong, or what we cannot do for it.

    Attributes:
        code: the code of the answer.
        message: the text of the answer, one line.
        status: HTTP status, from the table.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = STATUS[code]


def invalid(message: str) -> ApiError:
    """Refuse a value that the caller sent."""
    return ApiError(ErrorCode.INVALID_ARGUMENT, message)


def path_not_supported(method: str, path: str) -> ApiError:
    """Refuse a route that no operation has. Source: list of error codes, its text."""
    return ApiError(ErrorCode.PATH_NOT_SUPPORTED, f"'{method}' against '{path}' is not supported")


def payload_too_large(limit_bytes: int) -> ApiError:
    """Refuse a body over its limit. Source: list of error codes, its text."""
    return ApiError(
        ErrorCode.ENTITY_TOO_LARGE,
        f"payload size exceeds maximum allowed size ({limit_bytes} bytes)",
    )


def service_not_found(service: str) -> ApiError:
    """Name a service that is not there. Source: list of error codes, its text."""
    return ApiError(ErrorCode.SERVICE_NOT_FOUND, f"service '{service}' does not exist")


def function_not_found(function: str, service: str) -> ApiError:
    """Name a function that is not there. Source: list of error codes, its text."""
    return ApiError(
        ErrorCode.FUNCTION_NOT_FOUND,
        f"function '{function}' does not exist in service '{service}'",
    )


def qualifier_not_found(qualifier: str, service: str) -> ApiError:
    """Name a version (digits) or an alias (anything else) that is not there.

    Assumed: the shape of the qualifier decides which of the two codes is given.
    """
    if qualifier.isdecimal() and qualifier.isascii():
        text = f"version '{qualifier}' of service '{service}' does not exist"
        return ApiError(ErrorCode.VERSION_NOT_FOUND, text)
    text = f"alias '{qualifier}' of service '{service}' does not exist"
    return ApiError(ErrorCode.ALIAS_NOT_FOUND, text)


def not_implemented(what: str) -> ApiError:
    """Say that the emulator does not do this (yet)."""
    return ApiError(ErrorCode.NOT_IMPLEMENTED, f"{what} is not emulated by this version of fc-emu")
