"""The composition root: the only package that names adapters."""

from emulator.wiring.choosing import NoDriver
from emulator.wiring.start import Start, start

__all__ = ["NoDriver", "Start", "start"]
