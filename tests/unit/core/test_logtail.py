"""The text behind ``X-Fc-Log-Result``."""

from hypothesis import given
from hypothesis import strategies as st

from emulator.core.limits import LOG_TAIL_BYTES
from emulator.core.logtail import log_tail

REQUEST_ID = "6f3c1a52-0000-4000-8000-000000000000"

LOG = f"FC Invoke Start RequestId: {REQUEST_ID}\nhi\nFC Invoke End RequestId: {REQUEST_ID}\n"


def test_summary_follows_the_log_after_a_blank_line():
    tail = log_tail(
        LOG.encode(), request_id=REQUEST_ID, run_ms=2.958, memory_mb=128, peak_mb=10.834
    )

    assert tail.decode() == (
        f"{LOG}\n"
        f"RequestId: {REQUEST_ID}\n"
        "Duration: 2.96 ms, Billed Duration: 3 ms, Memory Size: 128 MB, "
        "Max Memory Used: 10.83 MB\n"
    )


def test_memory_that_is_not_known_is_left_out():
    tail = log_tail(b"", request_id=REQUEST_ID, run_ms=3.0, memory_mb=512, peak_mb=None)

    assert tail.decode().splitlines()[-1] == (
        "Duration: 3.00 ms, Billed Duration: 3 ms, Memory Size: 512 MB"
    )


def test_of_a_long_log_the_last_4096_bytes_stay_with_the_summary():
    log = b"".join(b"%06d\n" % n for n in range(100_000))

    tail = log_tail(log, request_id=REQUEST_ID, run_ms=1.0, memory_mb=128, peak_mb=None)

    assert len(tail) == 4096
    kept, _, summary = tail.partition(b"\nRequestId: ")
    assert log.endswith(kept)
    assert summary.startswith(REQUEST_ID.encode())


@given(st.binary(max_size=6000), st.floats(0, 1e8), st.none() | st.floats(0, 1e5))
def test_tail_is_never_over_its_limit_and_ends_with_the_summary(
    log: bytes, run_ms: float, peak_mb: float | None
):
    tail = log_tail(log, request_id=REQUEST_ID, run_ms=run_ms, memory_mb=128, peak_mb=peak_mb)

    assert len(tail) <= LOG_TAIL_BYTES
    assert b"Memory Size: 128 MB" in tail.splitlines()[-1]
