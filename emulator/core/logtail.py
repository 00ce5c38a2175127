"""The text that a caller gets for ``X-Fc-Log-Type: Tail``."""

import math

from emulator.core.limits import LOG_TAIL_BYTES


def log_tail(
    log: bytes, *, request_id: str, run_ms: float, memory_mb: int, peak_mb: float | None
) -> bytes:
    """Give the last 4,096 bytes of a request's output with its summary behind it.

    The memory used is left out where it is not known. Source: runtime contract, log result.
    """
    summary = [
        f"Duration: {run_ms:.2f} ms",
        f"Billed Duration: {math.ceil(run_ms)} ms",
        f"Memory Size: {memory_mb} MB",
    ]
    if peak_mb is not None:
        summary.append(f"Max Memory Used: {peak_mb:.2f} MB")
    text = f"\nRequestId: {request_id}\n{', '.join(summary)}\n"
    return (log + text.encode())[-LOG_TAIL_BYTES:]
