"""The emulator's own API, on its own listener."""
