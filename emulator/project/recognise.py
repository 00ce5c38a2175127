"""What a file is: a Serverless Devs file, that of another tool, or none of our business."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from emulator.project.blocks import entries
from emulator.project.files import exists, read_bytes
from emulator.project.model import Notice, ProjectError
from emulator.project.nodes import Document, Node
from emulator.project.yaml12 import parse_yaml

SERVERLESS_DEVS = ("s.yaml", "s.yml")
TEMPLATES = ("template.yml", "template.yaml", "faas.yml", "faas.yaml")

_CORE = "tag:yaml.org,2002:"
_BY_NAME = {
    "AWS::Serverless": "is an AWS SAM template, for Lambda and not for Function Compute",
    "Aliyun::Serverless": "is a Funcraft template (Aliyun::Serverless)",
    "ALIYUN::FC::": "is a ROS template with resources of Function Compute",
    "ALIYUN::FC3::": "is a ROS template with resources of Function Compute",
}
_NOTHING = Node(None, 0)
_READ_SO_FAR = "only Serverless Devs files with component fc3 are read so far"


@dataclass(frozen=True, slots=True)
class Found:
    """A Serverless Devs file; ``shown`` is how the user would name it."""

    path: Path
    shown: str
    document: Document


def open_template(path: Path, shown: str) -> Found:
    """Read the file that the user named.

    Raises:
        ProjectError: it cannot be read, or is something else; what, is said where it is known.
    """
    found = _read(path, shown)
    if found is None:
        message = "has neither resources nor services with a component; name an s.yaml with -t"
        raise ProjectError(shown, None, message)
    return found


def find_file(folder: Path, notices: list[Notice]) -> Found | None:
    """Find the project file of a folder; None when there is none that we could read.

    Raises:
        ProjectError: it is broken, or made for something that is not read.
    """
    present = [n for n in (*SERVERLESS_DEVS, *TEMPLATES) if exists(folder / n)]
    for name in present:
        found = _read(folder / name, name) if name in SERVERLESS_DEVS else None
        if found is not None:
            text = f"not read: {name} comes first"
            others = (n for n in present if n != name)
            notices.extend(Notice(level="note", where=other, text=text) for other in others)
            return found
        if name in TEMPLATES:
            _refuse_template(folder / name, name)
        text = "holds nothing of Function Compute, passed over"
        notices.append(Notice(level="note", where=name, text=text))
    return None


def _refuse_template(path: Path, shown: str) -> None:
    """Say what a template is, if anything that concerns us; an unreadable one does not."""
    try:
        document = parse_yaml(read_bytes(path, shown), shown)
    except ProjectError:
        return
    _refuse_others(document.root, shown)


def _read(path: Path, shown: str) -> Found | None:
    document = parse_yaml(read_bytes(path, shown), shown)
    _refuse_others(document.root, shown)
    for line, tag in document.custom_tags:
        name = f"!!{tag.removeprefix(_CORE)}" if tag.startswith(_CORE) else tag
        raise ProjectError(shown, line, f"tag {name[:80]} is not allowed; write the value itself")
    if not _is_serverless_devs(entries(document.root)):
        return None
    return Found(path, shown, document)


def _is_serverless_devs(root: dict[str, Node]) -> bool:
    edition = root.get("edition")
    if edition is not None and re.match(r"3\b", str(edition.value)):
        return True
    envelopes = [node for key in ("resources", "services") if (node := root.get(key))]
    if "extend" in root and any(isinstance(node.value, dict) for node in envelopes):
        return True
    blocks = (block for node in envelopes for block in entries(node).values())
    return any("component" in entries(block) for block in blocks)


def _refuse_others(node: Node, shown: str) -> None:
    """Refuse what belongs to a neighbouring tool.

    Raises:
        ProjectError: it is such a file; the text says of which tool.
    """
    root = entries(node)
    for line, sentence in _others(root):
        raise ProjectError(shown, line, f"{sentence}; {_READ_SO_FAR}")


def _others(root: dict[str, Node]) -> Iterator[tuple[int, str]]:
    for line, name in (*_transforms(root), *_types(root)):
        yield from ((line, what) for start, what in _BY_NAME.items() if name.startswith(start))
    for key in ("function-compute", "api-gateway"):
        if key in root:
            yield root[key].line, f"is an old Funcraft file (faas.yml, {key})"
    for top in (root, *(entries(child) for child in root.values())):
        if {"Component", "Properties"} <= top.keys():
            yield top["Component"].line, "is a file for Serverless Devs 0.x (Component, Properties)"


def _transforms(root: dict[str, Node]) -> Iterator[tuple[int, str]]:
    node = root.get("Transform", _NOTHING)
    for item in node.value if isinstance(node.value, list) else [node]:
        if isinstance(item.value, str):
            yield node.line, item.value


def _types(root: dict[str, Node]) -> Iterator[tuple[int, str]]:
    """Give the types of the resources and of the functions that stand inside a service."""
    for resource in entries(root.get("Resources")).values():
        for node in (resource, *entries(resource).values()):
            kind = entries(node).get("Type", _NOTHING)
            if isinstance(kind.value, str):
                yield kind.line, kind.value
