"""Waiting for something that cannot tell us that it has happened."""

import select
from collections.abc import Callable

STEP_S = 0.02


def until(happened: Callable[[], bool], timeout_s: float) -> bool:
    """Look every 20 ms until it has happened; False when it has not within ``timeout_s``."""
    for _ in range(max(1, round(timeout_s / STEP_S))):
        if happened():
            return True
        select.select([], [], [], STEP_S)
    return happened()
