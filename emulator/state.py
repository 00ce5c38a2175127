"""The state folder: where it is, who holds it, what stands in it."""

import fcntl
import hashlib
import json
import os
import stat
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from emulator.core.limits import MAX_SOCKET_PATH_BYTES

SOCKET_NAME_BYTES = len("/") + 12 + len(".sock")


class StateUnusable(Exception):
    """The folder cannot be used: not writable, or somebody else's."""


class StateDamaged(Exception):
    """What stands in the folder is not what an emulator writes; it is left as it is."""


class StateLocked(Exception):
    """Another emulator runs on this state. ``pid`` is None when the holder did not say."""

    def __init__(self, path: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(
            f"{path} is in use by {holder}; stop it (fc-emu stop) or choose another --state-dir"
        )
        self.pid = pid


def default_state_dir(folder: Path, environ: Mapping[str, str]) -> Path:
    """Give the state folder of a project folder, below the user's own state.

    The name of the project folder makes it findable, eight digits of its path unambiguous.
    """
    base = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME") or "~") / ".local/state")
    return Path(base).expanduser() / "fc-emu" / f"{folder.name or 'root'}-{_digest(folder)}"


def runtime_dir(state: Path, environ: Mapping[str, str]) -> Path:
    """Give the folder for sockets: short, private, gone after a restart of the machine.

    ``XDG_RUNTIME_DIR`` is used where it exists and is short enough for a socket's path.
    """
    base = Path(environ.get("XDG_RUNTIME_DIR") or "/nonexistent")
    if base.is_dir() and os.access(base, os.W_OK):
        folder = base / "fc-emu" / _digest(state)
        if len(os.fsencode(folder)) + SOCKET_NAME_BYTES <= MAX_SOCKET_PATH_BYTES:
            return folder
    return Path(f"/tmp/fc-emu-{os.getuid()}") / _digest(state)


@dataclass(frozen=True, slots=True)
class State:
    """A state folder that this process holds until it ends or ``release`` is called."""

    path: Path
    uuid: str
    _lock: int

    @property
    def run_file(self) -> Path:
        """What a running emulator says about itself."""
        return self.path / "run.json"

    def release(self) -> None:
        """Let the next emulator have the folder."""
        self.run_file.unlink(missing_ok=True)
        os.close(self._lock)


def open_state(path: Path) -> State:
    """Make the folder if need be, and hold it.

    Raises:
        StateUnusable: it cannot be written, or others could read or change it.
        StateLocked: another emulator holds it.
        StateDamaged: it holds something else than it should.
    """
    try:
        private_folder(path)
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StateUnusable(
            f"state folder {path} cannot be used as user {os.getuid()}: {error.strerror}; "
            "choose another with --state-dir"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        text = os.read(lock, 32).decode("ascii", "replace").strip()
        os.close(lock)
        raise StateLocked(path, int(text) if text.isdecimal() else None) from None
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    try:
        return State(path, _own_uuid(path / "uuid"), lock)
    except StateDamaged:
        os.close(lock)
        raise


def is_held(path: Path) -> bool:
    """Say whether an emulator holds this state; False where there is none."""
    try:
        lock = os.open(path / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def private_folder(path: Path) -> None:
    """Make a folder that only its owner may enter, or check that it is one.

    Raises:
        StateUnusable: it belongs to another user or others may write to it.
        OSError: it cannot be made.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.stat()
    if found.st_uid != os.getuid():
        raise StateUnusable(f"{path} belongs to user {found.st_uid}, not to {os.getuid()}")
    if stat.S_IMODE(found.st_mode) & 0o022:
        raise StateUnusable(f"{path} can be written by others; chmod 700 {path} mends it")


def write_private(path: Path, data: Mapping[str, object]) -> None:
    """Write JSON that only the owner may read, at once or not at all."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(data, file)
        file.write("\n")
    fresh.replace(path)


def _own_uuid(path: Path) -> str:
    """Read the state's name, or give it one. It marks everything that an emulator starts."""
    try:
        return str(uuid.UUID(path.read_text("ascii").strip()))
    except FileNotFoundError:
        name = str(uuid.uuid4())
        path.write_text(f"{name}\n", "ascii")
        path.chmod(0o600)
        return name
    except ValueError:
        raise StateDamaged(f"{path} does not hold a uuid; remove it to get a new one") from None


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
