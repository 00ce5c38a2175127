"""Limits that the service publishes, as numbers: a slip of a digit shows here."""

from emulator.core import limits

PUBLISHED = {
    "MAX_SYNC_PAYLOAD_BYTES": 33_554_432,
    "MAX_ASYNC_PAYLOAD_BYTES": 131_072,
    "MAX_ASYNC_DELAY_S": 3_600,
    "MAX_RESULT_BYTES": 33_554_432,
    "MAX_NAME_LENGTH": 128,
    "LOG_TAIL_BYTES": 4_096,
    "MIN_TIMEOUT_S": 1,
    "MAX_TIMEOUT_S": 86_400,
    "MAX_ENVIRONMENT_BYTES": 4_096,
}


def test_limits_are_what_the_service_publishes():
    assert {name: getattr(limits, name) for name in PUBLISHED} == PUBLISHED


def test_kept_log_holds_a_tail_and_the_longest_line():
    assert limits.LOG_KEPT_BYTES >= limits.LOG_TAIL_BYTES
    assert limits.LOG_KEPT_BYTES >= limits.MAX_LOG_LINE_BYTES
