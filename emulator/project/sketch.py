"""A detected project as an s.yaml that its user may save."""

import json
import re

from emulator.project.model import Project, ProjectFunction
from emulator.project.scalars import plain_value

DEFAULT_REGION = "cn-hangzhou"
"""A file needs one. Ours: the region that the vendor's examples use."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def as_s_yaml(project: Project) -> str:
    """Write a project as a Serverless Devs file that reads as the same functions.

    Environment variables are left out: those of a detected project are from the command line.
    """
    blocks = "".join(_block(project, function) for function in project.functions)
    return (
        "edition: 3.0.0\n"
        f"name: {_quoted(project.name)}\n"
        "access: default\n"
        "\n"
        f"resources:{'' if blocks else ' {}'}\n"
        f"{blocks}"
    )


def _block(project: Project, listed: ProjectFunction) -> str:
    function = listed.function
    path = listed.code_dir
    if path.is_relative_to(project.base_dir):
        code = f"./{path.relative_to(project.base_dir).as_posix()}".removesuffix("/.")
    else:
        code = str(path)
    props = {
        "region": _quoted(project.region or DEFAULT_REGION),
        "functionName": _quoted(function.function_name),
        "runtime": _quoted(function.runtime),
        "handler": _quoted(function.handler),
        "code": _quoted("./" if code == "." else code),
        "timeout": str(function.timeout),
        "memorySize": str(function.memory_size),
    }
    lines = "".join(f"      {key}: {value}\n" for key, value in props.items())
    return f"  {function.function_name}:\n    component: fc3\n    props:\n{lines}"


def _quoted(text: str) -> str:
    """Write text as YAML reads it back; JSON text is YAML."""
    if _PLAIN.fullmatch(text) and isinstance(plain_value(text), str):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())
