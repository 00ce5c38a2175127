"""What the command line says about single functions: ``--code`` and ``-e``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from emulator.core.refs import DEFAULT_SERVICE
from emulator.project.model import ProjectError


@dataclass(frozen=True, slots=True)
class Overrides:
    """``code`` is a path by function, ``env`` a value by function and variable."""

    code: Mapping[str, Path]
    env: Mapping[tuple[str, str], str]

    def for_functions(self, names: Mapping[str, str], file: str) -> "Overrides":
        """Key everything by function name.

        ``names`` gives the function for every name that people may use for it.

        Raises:
            ProjectError: something is given for a function that is not there.
        """
        known = _Known(names, file)
        code = {known.function(n, f"--code {n}=..."): path for n, path in self.code.items()}
        env = {
            (known.function(name, f"-e {name}.{key}=..."), key): value
            for (name, key), value in self.env.items()
        }
        return Overrides(code, env)

    def env_of(self, function: str) -> dict[str, str]:
        """Give the variables for one function."""
        return {key: value for (name, key), value in self.env.items() if name == function}


def names_of(functions: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Give the function for every name; ``functions`` are pairs of function and block name.

    A function's own name comes before the name of another one's block.
    """
    pairs = list(functions)
    by_block = {block: function for function, block in pairs if block}
    return by_block | {function: function for function, _ in pairs}


@dataclass(frozen=True, slots=True)
class _Known:
    names: Mapping[str, str]
    file: str

    def function(self, name: str, given: str) -> str:
        function = self.names.get(name.removeprefix(f"{DEFAULT_SERVICE}/"))
        if function is None:
            there_are = ", ".join(sorted(set(self.names.values()))) or "none"
            message = f"{given}: no function is called {name!r}; functions: {there_are}"
            raise ProjectError(self.file, None, message)
        return function
