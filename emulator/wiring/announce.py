"""What a run tells about itself: files for programs, the first screen for people."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from emulator import __version__
from emulator.api.operations import FAMILY
from emulator.config import Config
from emulator.core.refs import DEFAULT_SERVICE
from emulator.core.runtimes import RuntimeSpec
from emulator.engine.engine import Engine
from emulator.engine.events import Event, Notice
from emulator.log import LineWriter
from emulator.project import Project
from emulator.screen import Facts, first_screen
from emulator.state import State, write_private
from emulator.wiring.choosing import DriverChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to run, checked as far as that goes without starting anything."""

    config: Config
    projects: Sequence[Project]
    state: State
    driver: DriverChoice
    runtimes: Mapping[str, RuntimeSpec]
    environ: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Places:
    """Addresses of the two listeners, and what opens the second."""

    wire: str
    admin: str
    token: str


class Announcer:
    """Tells when the run is ready, what it is while it runs, and when it stops."""

    def __init__(self, plan: Plan, engine: Engine, places: Places, lines: LineWriter) -> None:
        self._plan = plan
        self._engine = engine
        self._places = places
        self._lines = lines
        self._started = asyncio.get_running_loop().time()

    def ready(self, emit: Callable[[Event], None]) -> None:
        """Write run.json and the ready file, then tell people and programs on the streams."""
        plan = self._plan
        ready = self._facts()
        write_private(plan.state.run_file, ready)
        if plan.config.ready_file is not None:
            write_private(Path(plan.config.ready_file), ready)
        if plan.config.json:
            self._lines.out(json.dumps(ready, separators=(",", ":")))
        elif not plan.config.quiet:
            for line in first_screen(self._screen()):
                self._lines.err(line)
        for notice in self._notices():
            emit(notice)

    def stopping(self) -> None:
        """Say what is waited for and what is lost."""
        running, lost = self._engine.running, self._engine.scheduler.pending
        if self._plan.config.json:
            self._lines.out(json.dumps({"event": "stopping", "running": running, "lost": lost}))
            return
        text = f"stopping: {running} running"
        if running:
            text += f", given {self._plan.config.grace:g} s (Ctrl-C again: at once)"
        if lost and not self._engine.durable:
            text += f"; {lost} accepted and not run are lost"
        self._lines.err(text)

    def info(self) -> dict[str, object]:
        """Give what run.json holds, less the token, and how long the run has lasted."""
        facts = {name: value for name, value in self._facts().items() if name != "token"}
        uptime = asyncio.get_running_loop().time() - self._started
        return {**facts, "uptimeMs": round(uptime * 1000)}

    def url_of(self, function_id: str) -> str:
        """Give the address at which a function is invoked."""
        path = f"services/{DEFAULT_SERVICE}/functions/{quote(function_id, safe='')}/invocations"
        return f"{self._places.wire}/{FAMILY}/{path}"

    def _notices(self) -> Iterator[Notice]:
        config = self._plan.config
        if config.json or config.quiet:
            # The first screen says it to the others: it is to be said at each start.
            yield Notice(text=f"driver {self._plan.driver.name}: {self._plan.driver.why}")
        for deployment in self._engine.registry.deployments():
            for text in deployment.notices:
                yield Notice(text=text, function=deployment.function.id)
        for project in self._plan.projects:
            for notice in project.notices:
                if notice.level != "note":
                    yield Notice(text=str(notice))

    def _facts(self) -> dict[str, object]:
        driver = self._plan.driver.name
        return {
            "event": "ready",
            "version": __version__,
            "pid": os.getpid(),
            "endpoint": self._places.wire,
            "admin": self._places.admin,
            "token": self._places.token,
            "state": str(self._plan.state.path),
            "driver": driver,
            "clock": "real",
            "functions": [
                {
                    "id": deployment.function.id,
                    "runtime": deployment.function.runtime,
                    "driver": driver,
                    "url": self.url_of(deployment.function.id),
                }
                for deployment in self._engine.registry.deployments()
            ],
        }

    def _screen(self) -> Facts:
        plan = self._plan
        return Facts(
            version=__version__,
            endpoint=self._places.wire,
            admin=self._places.admin,
            driver=plan.driver.name,
            why_driver=plan.driver.why,
            state=str(plan.state.path),
            project=", ".join(str(p.source or p.base_dir) for p in plan.projects),
            functions=[
                (d.function.id, self.url_of(d.function.id))
                for d in self._engine.registry.deployments()
            ],
            looked_for="; ".join(p.looked_for for p in plan.projects if p.looked_for),
            durable=self._engine.durable,
        )
