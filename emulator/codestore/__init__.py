"""Code versions: folders made once, never changed, named by their content."""

from emulator.codestore.source import FolderSource
from emulator.codestore.store import Store

__all__ = ["FolderSource", "Store"]
