"""What goes into an invocation and what the instance answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class InvocationType(StrEnum):
    """Values of ``X-Fc-Invocation-Type``. Source: API 2016-08-15, InvokeFunction."""

    SYNC = "Sync"
    ASYNC = "Async"


class LogType(StrEnum):
    """Values of ``X-Fc-Log-Type``. Source: API 2016-08-15, InvokeFunction."""

    NONE = "None"
    TAIL = "Tail"


@dataclass(frozen=True, slots=True)
class InvokeOptions:
    """The headers of one invoke request, read and checked. ``delay_s`` is 0 for Sync."""

    invocation_type: InvocationType = InvocationType.SYNC
    log_type: LogType = LogType.NONE
    delay_s: int = 0
    span_context: str = ""
    span_baggages: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    """Sentences on what was accepted and has no effect, for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the function is told about itself and this call. Source: runtime contract, headers."""

    function_name: str
    service_name: str
    handler: str
    memory_mb: int
    timeout_s: int
    region: str
    account_id: str
    qualifier: str
    version_id: str = ""
    retry_count: int = 0
    access_key_id: str = ""
    access_key_secret: str = ""
    security_token: str = ""
    span_context: str = ""
    span_baggages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call of a function. The run clock gives it ``timeout_s`` seconds."""

    id: str
    payload: bytes
    timeout_s: float
    context: Context


@dataclass(frozen=True, slots=True)
class Reply:
    """What an instance answered. Header names in lower case; ``log`` is this request's output."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    log: bytes = b""
