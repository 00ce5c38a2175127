"""The first screen of a run, at most 15 lines and one a function."""

from collections.abc import Sequence
from dataclasses import dataclass

MAX_FUNCTIONS = 10
"""Functions that are named; of the others the number is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the screen tells. ``functions`` are pairs of id and URL."""

    version: str
    endpoint: str
    admin: str
    driver: str
    why_driver: str
    state: str
    project: str
    functions: Sequence[tuple[str, str]]
    looked_for: str
    durable: bool
    hints: Sequence[str] = ()


def first_screen(facts: Facts) -> list[str]:
    """Lay out the lines; what is to be pasted stands alone on its line."""
    lines = [
        f"fc-emu {facts.version}  {facts.project}",
        f"  endpoint  {facts.endpoint}",
        f"  admin     {facts.admin}",
        f"  driver    {facts.driver}: {facts.why_driver}",
        f"  state     {facts.state}",
    ]
    if not facts.durable:
        lines.append("  async     kept in memory: accepted work that has not run is lost at a stop")
    lines.extend(f"  {hint}" for hint in facts.hints)
    if not facts.functions:
        return [*lines, f"no functions: {facts.looked_for}"]
    lines.append("functions")
    lines.extend(f"  {name}  {url}" for name, url in facts.functions[:MAX_FUNCTIONS])
    if len(facts.functions) > MAX_FUNCTIONS:
        lines.append(f"  +{len(facts.functions) - MAX_FUNCTIONS} more (fc-emu list)")
    name, url = facts.functions[0]
    lines += [
        "try",
        f"  curl -X POST -d '{{\"name\": \"fc\"}}' '{url}'",
        "or with pip install aliyun-fc2",
        f"  python3 -c \"import fc2; print(fc2.Client(endpoint='{facts.endpoint}', "
        f"accessKeyID='any', accessKeySecret='any')"
        f".invoke_function('default', '{name}', b'{{}}').data)\"",
    ]
    return lines
