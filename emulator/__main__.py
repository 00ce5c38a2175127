"""``python -m emulator`` is the same command as ``fc-emu``."""

from emulator.cli import main

if __name__ == "__main__":
    main()
