"""A running emulator: its parts joined, its listeners, its life."""

import asyncio
import json
import os
import secrets
import signal
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from emulator import __version__
from emulator.admin.app import AdminApi, Site
from emulator.api.app import WireApi
from emulator.clocks import SystemClock, wall_ns
from emulator.codestore import FolderSource, Store
from emulator.config import DEFAULT_ADMIN_PORT, Config
from emulator.core.refs import DEFAULT_SERVICE
from emulator.core.runtimes import handler_paths
from emulator.engine.engine import Engine, World
from emulator.engine.events import EventBus, Notice
from emulator.engine.invoker import Account
from emulator.engine.pool import PoolLimits
from emulator.engine.pools import Pools
from emulator.engine.ports import CodeVersion
from emulator.engine.registry import Registry
from emulator.guard import Guarded, Policy
from emulator.journal.memory import MemoryJournal
from emulator.listen import PortTaken
from emulator.log import LineWriter
from emulator.project import Project
from emulator.screen import Facts, first_screen
from emulator.state import State, write_private
from emulator.watch import Listeners, Watcher
from emulator.wiring.deployments import DriverChoice, deploy, instance_environment
from emulator.wiring.drivers import process_driver
from emulator.wiring.listeners import Listener, bind, serve

DEFAULT_REGION = "cn-hangzhou"
"""The region to play when neither the project nor the command line names one. Ours."""

FORCED = 130
"""Exit code after a second signal. Source: contract of the command line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to run, checked as far as that goes without starting anything."""

    config: Config
    projects: Sequence[Project]
    state: State
    driver: DriverChoice
    environ: Mapping[str, str]


class Emulator:
    """One run, from binding its ports to the end of its last process."""

    def __init__(self, plan: Plan, bus: EventBus, lines: LineWriter) -> None:
        self._plan = plan
        self._bus = bus
        self._lines = lines
        self._token = secrets.token_urlsafe(24)
        self._signalled = asyncio.Event()

    async def run(self) -> int:
        """Serve until a signal; give the exit code.

        Raises:
            PortTaken: a port is in use.
            StateUnusable: a folder for sockets cannot be made.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal)
        async with AsyncExitStack() as stack:
            wire = bind(stack, self._plan.config.port)
            admin = self._bind_admin(stack)
            engine = await self._build(stack, wire)
            await self._serve(stack, engine, wire, admin)
            self._announce(engine, wire, admin)
            await self._signalled.wait()
            self._say_stopping(engine)
            await engine.stop(self._plan.config.grace)
        return 0

    def _on_signal(self) -> None:
        """The first signal asks for a stop with grace, the second for one at once."""
        if self._signalled.is_set():
            self._plan.state.release()
            self._lines.close()
            os._exit(FORCED)
        self._signalled.set()

    def _bind_admin(self, stack: AsyncExitStack) -> Listener:
        """Take the admin port; a taken default moves to a free one."""
        port = self._plan.config.admin_port
        try:
            return bind(stack, port)
        except PortTaken as error:
            if port != DEFAULT_ADMIN_PORT:
                raise
            listener = bind(stack, 0)
            self._bus.publish(Notice(text=f"{error}: the admin API is on {listener.port} instead"))
            return listener

    async def _build(self, stack: AsyncExitStack, wire: Listener) -> Engine:
        """Make the engine and what it stands on; all of it ends with ``stack``."""
        plan, emit = self._plan, self._bus.publish
        registry = Registry()
        deployments = await asyncio.to_thread(deploy, plan.projects, plan.config, plan.environ)
        for deployment, _ in deployments:
            registry.add(deployment)
        driver = process_driver(plan.state, plan.environ, emit)
        stack.push_async_callback(driver.close)
        store = Store(plan.state.path, wall_ns=wall_ns)

        def on_version(function_ids: Iterable[str], version: CodeVersion) -> None:
            for function_id in function_ids:
                pools.code_changed(function_id, version)

        code = FolderSource(
            store,
            wall_ns=wall_ns,
            on_version=on_version,
            on_notice=lambda text: emit(Notice(text=text)),
        )
        stack.push_async_callback(code.close)
        for deployment, folder in deployments:
            files = (
                handler_paths(deployment.runtime, deployment.function.handler)
                if deployment.runtime is not None
                else ()
            )
            code.register(deployment.function.id, folder, files)
        await self._watch(stack, [folder for _, folder in deployments], code)
        region = plan.config.region or next((p.region for p in plan.projects if p.region), None)
        account = Account(plan.config.account_id, region or DEFAULT_REGION)
        pools = Pools(
            driver,
            code,
            limits=PoolLimits(plan.config.max_instances, plan.config.idle_timeout),
            environment=lambda deployment: instance_environment(
                deployment, account, endpoint=wire.url, passed=_passed(plan)
            ),
            emit=emit,
        )
        world = World(
            clock=SystemClock(),
            journal=MemoryJournal(),
            account=account,
            emit=emit,
            max_async=max(16, 4 * (os.cpu_count() or 1)),
        )
        return Engine(world, registry, pools)

    async def _watch(
        self, stack: AsyncExitStack, folders: Sequence[Path], code: FolderSource
    ) -> None:
        if self._plan.config.no_watch or not folders:
            return
        sources = {str(p.source.resolve()) for p in self._plan.projects if p.source is not None}
        roots = {str(folder) for folder in folders}

        def counts(root: str, path: str) -> bool:
            return path in sources or (root in roots and code.counts(root, path))

        def changed(paths: set[str]) -> None:
            for path in sorted(paths & sources):
                self._bus.publish(Notice(text=f"{path} has changed: it acts at the next start"))
            code.changed(paths)

        listeners = Listeners(
            on_change=changed,
            on_notice=lambda text: self._bus.publish(Notice(text=text)),
            on_error=lambda error: self._bus.publish(
                Notice(text=f"watching for changes failed and is tried again: {error}")
            ),
        )
        watcher = Watcher(
            [*folders, *(Path(source).parent for source in sources)],
            counts=counts,
            listeners=listeners,
            force_polling=self._plan.config.poll,
        )
        watcher.start()
        stack.push_async_callback(watcher.close)
        await watcher.ready()

    async def _serve(
        self, stack: AsyncExitStack, engine: Engine, wire: Listener, admin: Listener
    ) -> None:
        """Answer on both listeners; accepted work runs from now on."""
        config = self._plan.config
        started = asyncio.get_running_loop().time()

        def facts() -> dict[str, object]:
            ready = {k: v for k, v in self._ready(engine, wire, admin).items() if k != "token"}
            uptime = asyncio.get_running_loop().time() - started
            return {**ready, "uptimeMs": round(uptime * 1000)}

        site = Site(
            token=self._token,
            driver=self._plan.driver.name,
            facts=facts,
            url_of=lambda function_id: _invoke_url(wire, function_id),
        )
        wire_api = WireApi(engine)
        admin_api = AdminApi(engine, site)
        hosts = frozenset(host.lower() for host in config.allow_host)
        wire_policy = Policy(
            port=wire.port, allowed_hosts=hosts, allowed_origins=frozenset(config.allow_origin)
        )
        admin_policy = Policy(
            port=admin.port, allowed_hosts=hosts, browsable=True, loopback_only=True
        )
        await serve(stack, wire, Guarded(wire_api, wire_policy, wire_api.refuse))
        await serve(stack, admin, Guarded(admin_api, admin_policy, admin_api.refuse))
        engine.start()

    def _announce(self, engine: Engine, wire: Listener, admin: Listener) -> None:
        """Tell programs by files, and people by the first screen, that work is taken."""
        plan = self._plan
        ready = self._ready(engine, wire, admin)
        write_private(plan.state.run_file, ready)
        if plan.config.ready_file is not None:
            write_private(Path(plan.config.ready_file), ready)
        if plan.config.json:
            self._lines.out(json.dumps(ready, ensure_ascii=False, separators=(",", ":")))
        elif not plan.config.quiet:
            for line in first_screen(self._facts(engine, wire, admin)):
                self._lines.err(line)
        for deployment in engine.registry.deployments():
            for text in deployment.notices:
                self._bus.publish(Notice(text=text, function=deployment.function.id))
        for project in plan.projects:
            for notice in project.notices:
                if notice.level != "note":
                    self._bus.publish(Notice(text=str(notice)))

    def _say_stopping(self, engine: Engine) -> None:
        running, lost = engine.running, engine.scheduler.pending
        if self._plan.config.json:
            self._lines.out(json.dumps({"event": "stopping", "running": running, "lost": lost}))
            return
        text = f"stopping: {running} running"
        if running:
            text += f", given {self._plan.config.grace:g} s (Ctrl-C again: at once)"
        if lost and not engine.durable:
            text += f"; {lost} accepted and not run are lost"
        self._lines.err(text)

    def _ready(self, engine: Engine, wire: Listener, admin: Listener) -> dict[str, object]:
        """Give what run.json holds."""
        driver = self._plan.driver.name
        return {
            "event": "ready",
            "version": __version__,
            "pid": os.getpid(),
            "endpoint": wire.url,
            "admin": admin.url,
            "token": self._token,
            "state": str(self._plan.state.path),
            "driver": driver,
            "clock": "real",
            "functions": [
                {
                    "id": deployment.function.id,
                    "runtime": deployment.function.runtime,
                    "driver": driver,
                    "url": _invoke_url(wire, deployment.function.id),
                }
                for deployment in engine.registry.deployments()
            ],
        }

    def _facts(self, engine: Engine, wire: Listener, admin: Listener) -> Facts:
        plan = self._plan
        return Facts(
            version=__version__,
            endpoint=wire.url,
            admin=admin.url,
            driver=plan.driver.name,
            why_driver=plan.driver.why,
            state=str(plan.state.path),
            project=", ".join(str(p.source or p.base_dir) for p in plan.projects),
            functions=[
                (d.function.id, _invoke_url(wire, d.function.id))
                for d in engine.registry.deployments()
            ],
            looked_for="; ".join(p.looked_for for p in plan.projects if p.looked_for),
            durable=engine.durable,
        )


def _invoke_url(wire: Listener, function_id: str) -> str:
    name = quote(function_id, safe="")
    return f"{wire.url}/2016-08-15/services/{DEFAULT_SERVICE}/functions/{name}/invocations"


def _passed(plan: Plan) -> dict[str, str]:
    """Give the user's own variables that functions are to have."""
    return {name: plan.environ[name] for name in plan.config.pass_env if name in plan.environ}
