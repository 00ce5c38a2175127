"""Whether the file of a function's handler is still what the last snapshot saw."""

from collections.abc import Callable
from pathlib import Path

from emulator.codestore.scan import Stamp, is_settled, stamp_of

COMPARED_BYTES = 1 << 20
"""Up to this size a just saved file is read on the event loop, about 1 ms. Ours."""

Look = tuple[int, Stamp]
"""Which of the possible files is there, and its stamp."""


class HandlerFile:
    """The first that exists of the files in which a handler may be.

    Without any name, the folder's own entry stands in: it shows what appears and goes in it.
    """

    def __init__(self, folder: str, names: tuple[str, ...]) -> None:
        self._folder = folder
        self._files = tuple(Path(folder, name) for name in names) or (Path(folder),)
        self._seen: Look | None = None
        self._is_seen = False
        self._is_settled = False

    def look(self) -> Look | None:
        """Look at the file that is there now; None when none is."""
        for index, path in enumerate(self._files):
            try:
                return index, stamp_of(path.stat())
            except OSError:
                continue
        return None

    def remember(self, look: Look | None, *, moment_ns: int) -> None:
        """Take ``look``, had at ``moment_ns``, for what the version holds."""
        self._seen, self._is_seen = look, True
        self._is_settled = look is None or is_settled(look[1], moment_ns)

    def is_unchanged(self, version_folder: str, wall_ns: Callable[[], int]) -> bool:
        """Say whether the version in ``version_folder`` holds the file as it is now.

        One ``stat``; while its stamp is so fresh that it need not show a second save, a
        comparison of the bytes as well.
        """
        if not self._is_seen or self.look() != self._seen:
            return False
        return self._is_settled or self._is_same(version_folder, wall_ns)

    def _is_same(self, version_folder: str, wall_ns: Callable[[], int]) -> bool:
        moment_ns = wall_ns()
        look = self.look()
        if look is None or look != self._seen:
            return False
        file = self._files[look[0]]
        ours = Path(version_folder, file.relative_to(self._folder))
        try:
            if file.stat().st_size > COMPARED_BYTES or file.read_bytes() != ours.read_bytes():
                return False
        except OSError:
            return False
        self._is_settled = is_settled(look[1], moment_ns)
        return True
