"""Remove a state's containers and networks once the emulator is gone, ``kill -9`` included.

A program of its own: ``python -m emulator.drivers.sweeper STATE_UUID``, started by
``sweeping.py``. It reads its standard input: ``done`` means that nothing is left to do, end of
file that the emulator is gone. Nothing but what carries the state's label is touched.
"""

import os
import signal
import sys

ATTEMPTS = 10
AGAIN_S = 1.0
"""It is swept until nothing is found, ten times at most, a second apart. Ours."""


def main() -> None:
    """Wait for the end of the emulator, then sweep."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.stdin.readline() == "done\n":
        return
    from threading import Event

    from emulator.drivers.docker import EngineError, connect

    for _ in range(ATTEMPTS):
        try:
            if not connect(dict(os.environ)).remove_labelled(sys.argv[1]):
                return
        except EngineError:
            pass  # it may be on its way back
        Event().wait(AGAIN_S)  # a creation that was under way may come out yet


if __name__ == "__main__":
    main()
