"""How a function is named: in a path of the API, and by a person."""

import re
from dataclasses import dataclass

from emulator.core.errors import invalid
from emulator.core.limits import MAX_NAME_LENGTH

LATEST = "LATEST"
"""The qualifier of the unpublished state; the same as none. Source: Node SDK tests."""

DEFAULT_SERVICE = "default"
"""Service under which functions without one are shown. Ours: FC 3.0 has no services."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
"""Source: API 2016-08-15, CreateService and CreateFunction."""

_FUNCTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$-]*")
"""As a name, with the ``$`` of functions moved from 2.0 to 3.0. Source: fc3 component."""

_QUALIFIER = re.compile(rf"[0-9]+|{_NAME.pattern}")
"""A version's number or an alias. Source: API 2016-08-15, PublishServiceVersion, CreateAlias."""


@dataclass(frozen=True, slots=True)
class FunctionRef:
    """A function as a caller names it; nothing is said about whether it exists."""

    service: str
    function: str
    qualifier: str = LATEST


def parse_path_ref(service_segment: str, function_segment: str) -> FunctionRef:
    """Read the decoded segments of ``/services/{service[.qualifier]}/functions/{function}``.

    Names hold no dot, so the first one starts the qualifier; ``svc.`` means none.

    Raises:
        ApiError: InvalidArgument, naming the field.
    """
    service, _, qualifier = service_segment.partition(".")
    check_name("ServiceName", service, _NAME)
    check_name("FunctionName", function_segment, _FUNCTION_NAME)
    if qualifier:
        check_name("Qualifier", qualifier, _QUALIFIER)
    return FunctionRef(service, function_segment, qualifier or LATEST)


def parse_id(text: str) -> FunctionRef:
    """Read a function id as a person writes it: ``NAME``, ``SERVICE/NAME``, ``SERVICE.Q/NAME``.

    Raises:
        ApiError: InvalidArgument, naming the field.
    """
    service, slash, function = text.partition("/")
    return parse_path_ref(service, function) if slash else parse_path_ref(DEFAULT_SERVICE, text)


def check_name(field: str, value: str, pattern: re.Pattern[str]) -> None:
    """Refuse a name that no resource can have.

    Raises:
        ApiError: InvalidArgument; long values are shortened in the text.
    """
    if len(value) > MAX_NAME_LENGTH:
        raise invalid(
            f"{field} exceeds the maximum allowed length "
            f"(max: {MAX_NAME_LENGTH}, actual: {len(value)} characters)"
        )
    if not pattern.fullmatch(value):
        raise invalid(
            f"{field} is set to an invalid value "
            f"(allowed: letters, digits, '_' and '-', not starting with a digit or '-', "
            f"actual: {value!r})"
        )


def is_function_name(value: str) -> bool:
    """Whether a function may be called this."""
    return len(value) <= MAX_NAME_LENGTH and bool(_FUNCTION_NAME.fullmatch(value))
