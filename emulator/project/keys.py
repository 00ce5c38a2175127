"""The keys a project file may have, and what is said about those that are not honoured."""

import difflib
from collections.abc import Collection

from emulator.project.model import Report
from emulator.project.nodes import Node

HONOURED = frozenset(
    {
        "code",
        "description",
        "environmentVariables",
        "functionName",
        "handler",
        "memorySize",
        "region",
        "runtime",
        "timeout",
    }
)
"""Keys of ``props`` that are read."""

NOT_YET = frozenset(
    {
        "asyncInvokeConfig",
        "concurrencyConfig",
        "customContainerConfig",
        "customDomain",
        "customRuntimeConfig",
        "gpuConfig",
        "instanceConcurrency",
        "instanceLifecycleConfig",
        "layers",
        "nasConfig",
        "ossMountConfig",
        "sessionAffinity",
        "triggers",
    }
)
"""Keys of ``props`` that a function may miss. Source: schema of the fc3 component."""

NO_EFFECT = frozenset(
    {
        "annotations",
        "cpu",
        "customDNS",
        "disableOndemand",
        "diskSize",
        "enableLongLiving",
        "endpoint",
        "instanceIsolationMode",
        "internetAccess",
        "logConfig",
        "provisionConfig",
        "resourceGroupId",
        "role",
        "scalingConfig",
        "sessionAffinityConfig",
        "supplement",
        "tags",
        "tracingConfig",
        "vpcBinding",
        "vpcConfig",
    }
)
"""Keys of ``props`` that a function does not feel on one machine. Source: as above."""

PROPS = HONOURED | NOT_YET | NO_EFFECT

ACTIONS_TEXT = "not honoured yet: actions are never run"

_TOP = frozenset({"access", "edition", "name", "resources", "services", "vars"})
_TOP_NOT_YET = frozenset({"extend", "template"})
_TOP_NO_EFFECT = frozenset({"env", "flow"})
_BLOCK = frozenset({"access", "component", "props"})


def report_top_keys(root: dict[str, Node], report: Report) -> None:
    """Say which keys of the file itself are passed over."""
    for key, node in _given(root, _TOP):
        if key in _TOP_NOT_YET:
            report.warn(node.line, key, "not honoured yet, the file is read without it")
        elif key == "actions":
            report.note(node.line, key, ACTIONS_TEXT)
        elif key in _TOP_NO_EFFECT:
            report.note(node.line, key, "not honoured yet, no effect here")
        else:
            known = _TOP | _TOP_NOT_YET | _TOP_NO_EFFECT | {"actions"}
            report.warn(node.line, key, unknown_key(key, known))


def report_block_keys(name: str, block: dict[str, Node], report: Report) -> None:
    """Say which keys of a block of ``resources`` or ``services`` are passed over."""
    for key, node in _given(block, _BLOCK):
        shown = f"{name}.{key}"
        if key == "extend":
            report.warn(node.line, shown, "not honoured yet, the block is read without it")
        elif key == "actions":
            report.note(node.line, shown, ACTIONS_TEXT)
        else:
            known = _BLOCK | {"extend", "actions"}
            report.warn(node.line, shown, unknown_key(key, known))


def report_props(function: str, props: dict[str, Node], report: Report) -> None:
    """Say which keys of a function's ``props`` are passed over."""
    for key, node in _given(props, HONOURED):
        if key in NO_EFFECT:
            report.note(node.line, key, "not honoured, no effect here", function=function)
        elif key in NOT_YET:
            report.warn(node.line, key, "not honoured yet, left out", function=function)
        else:
            report.warn(node.line, key, unknown_key(key, PROPS), function=function)


def unknown_key(key: str, known: Collection[str]) -> str:
    """Word the notice on a key that nobody knows."""
    likely = close_key(key, known)
    return "unknown key, ignored" + (f"; did you mean {likely}?" if likely else "")


def close_key(key: str, known: Collection[str]) -> str | None:
    """Find the known key that somebody who wrote ``key`` probably meant."""
    by_lower = {name.lower(): name for name in sorted(known)}
    found = difflib.get_close_matches(key.lower()[:64], by_lower, n=1)
    return by_lower[found[0]] if found else None


def _given(entries: dict[str, Node], read: Collection[str]) -> list[tuple[str, Node]]:
    """Give the entries that say something and are not read; null and empty ones say nothing."""
    return [
        (key, node)
        for key, node in entries.items()
        if key not in read and node.value not in (None, "", [], {})
    ]
