"""The name of a code version: what its content says, and nothing else."""

import hashlib
import os
from collections.abc import Iterable
from typing import NamedTuple

from emulator.codestore.scan import Kind

ID_LENGTH = 32
"""Hex digits of a version's name: 128 bits, so that two contents never share one. Ours."""


class Content(NamedTuple):
    """One thing in a version: ``detail`` is the SHA-256 of a file's bytes, or a link's target."""

    path: str
    kind: Kind
    executable: bool
    detail: bytes


class Name(NamedTuple):
    """``id`` names the folder; ``checksum`` is its first 64 bits as an unsigned decimal."""

    id: str
    checksum: str


def name_version(contents: Iterable[Content]) -> Name:
    """Name a version by what it holds, in whatever order that comes.

    Times, owners and the rest of the mode do not count.
    """
    digest = hashlib.sha256()
    for content in sorted(contents):
        path = os.fsencode(content.path)
        head = f"{content.kind} {content.executable:d} {len(path)} {len(content.detail)}\n"
        digest.update(head.encode() + path + content.detail)
    whole = digest.digest()
    return Name(whole.hex()[:ID_LENGTH], str(int.from_bytes(whole[:8], "big")))
