"""The blocks of a Serverless Devs file, and which of them are functions."""

from collections.abc import Iterator
from typing import Literal

from emulator.project.interpolate import Block, UnresolvedError, Variables
from emulator.project.keys import report_block_keys
from emulator.project.model import Report
from emulator.project.nodes import Node
from emulator.project.properties import shown

Kind = Literal["fc3", "fc2", "domain", "other"]

_KNOWN: dict[str, Kind] = {
    "fc": "fc2",
    "fc3": "fc3",
    "fc-domain": "domain",
    "fc3-domain": "domain",
}


def entries(node: Node | None) -> dict[str, Node]:
    """Give what is in a map; nothing for anything else."""
    return node.value if node is not None and isinstance(node.value, dict) else {}


def function_blocks(root: Node, variables: Variables, report: Report) -> list[Block]:
    """Give the blocks that are functions of FC 3.0; the others are reported.

    Raises:
        ProjectError: a block is no map, or all functions are of FC 2.0.
    """
    found: list[Block] = []
    older: list[Block] = []
    for block in _blocks(root, variables, report):
        report_block_keys(block.name, entries(block.node), report)
        component = _component(block, variables)
        match _kind(component, entries(entries(block.node).get("props"))):
            case "fc3":
                found.append(block)
            case "fc2":
                older.append(block)
            case "domain":
                text = "custom domains are not emulated yet, the block is left out"
                report.warn(block.node.line, block.name, text)
            case "other" if component is None and "extend" in entries(root):
                text = "no component without extend, which is not honoured yet; left out"
                report.warn(block.node.line, block.name, text)
            case "other":
                text = f"component {shown(component)} is no function, the block is left out"
                report.note(block.node.line, block.name, text)
    if older and not found:
        message = (
            f"component of {older[0].name} is FC 2.0 (fc); "
            "only functions of FC 3.0 (fc3) are read so far"
        )
        raise report.error(_component_line(older[0]), message)
    for block in older:
        text = "is FC 2.0 (fc), only fc3 is read so far; the block is left out"
        report.warn(_component_line(block), f"{block.name}.component", text)
    return found


def _blocks(root: Node, variables: Variables, report: Report) -> Iterator[Block]:
    for envelope in ("resources", "services"):
        node = entries(root).get(envelope)
        if node is None or node.value is None:
            continue
        if not isinstance(node.value, dict):
            raise report.error(node.line, f"{envelope} must be a map, found {shown(node.value)}")
        for name, entry in node.value.items():
            block = Block(name, _outer(entry, variables))
            if not isinstance(block.node.value, dict):
                message = f"{envelope}.{name} must be a map, found {shown(block.node.value)}"
                raise report.error(entry.line, message)
            yield block


def _outer(entry: Node, variables: Variables) -> Node:
    try:
        value = variables.outer(entry).value
    except UnresolvedError:
        return entry
    return Node(value, entry.line)


def _component(block: Block, variables: Variables) -> str | None:
    """Give the component's bare name: ``devsapp/fc3@0.1`` is ``fc3``."""
    node = entries(block.node).get("component")
    if node is None:
        return None
    try:
        value = variables.resolve(node, block).value
    except UnresolvedError:
        value = node.value
    if not isinstance(value, str):
        return None
    return value.strip().removeprefix("devsapp/").partition("@")[0]


def _component_line(block: Block) -> int:
    node = entries(block.node).get("component")
    return block.node.line if node is None else node.line


def _kind(component: str | None, props: dict[str, Node]) -> Kind:
    """Decide by component and, where nobody knows that one, by what is in the block."""
    if component in _KNOWN:
        return _KNOWN[component]
    if {"functionName", "runtime"} <= props.keys():
        return "fc3"
    return "fc2" if {"function", "service"} <= props.keys() else "other"
