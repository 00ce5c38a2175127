"""A running emulator: its parts joined, its listeners, its life."""

import asyncio
import os
import secrets
import signal
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from emulator.admin.app import AdminApi, Site
from emulator.api.app import WireApi
from emulator.clocks import SystemClock, wall_ns
from emulator.codestore import FolderSource, Store
from emulator.config import DEFAULT_ADMIN_PORT
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
from emulator.watch import Listeners, Watcher
from emulator.wiring.announce import Announcer, Places, Plan
from emulator.wiring.choosing import make_driver
from emulator.wiring.deployments import deploy, instance_environment
from emulator.wiring.inside import Inside
from emulator.wiring.listeners import Listener, bind, serve

DEFAULT_REGION = "cn-hangzhou"
"""The region to play when neither the project nor the command line names one. Ours."""

FORCED = 130
"""Exit code after a second signal. Source: contract of the command line."""


class Emulator:
    """One run, from binding its ports to the end of its last process."""

    def __init__(self, plan: Plan, bus: EventBus, lines: LineWriter) -> None:
        self._plan = plan
        self._bus = bus
        self._lines = lines
        self._token = secrets.token_urlsafe(24)
        self._signalled = asyncio.Event()
        self._inside = Inside()

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
            announcer = Announcer(
                self._plan, engine, Places(wire.url, admin.url, self._token), self._lines
            )
            await self._serve(stack, engine, announcer, (wire, admin))
            announcer.ready(self._bus.publish)
            await self._signalled.wait()
            announcer.stopping()
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
        docker = plan.driver.engine
        deployments = await asyncio.to_thread(
            deploy,
            plan.projects,
            plan.config,
            plan.environ,
            runtimes=plan.runtimes,
            in_images=docker is not None,
        )
        for deployment, _ in deployments:
            registry.add(deployment)
        driver = await make_driver(
            plan.state, plan.environ, emit, docker=docker, inside=self._inside
        )
        stack.push_async_callback(self._inside.close)
        stack.push_async_callback(driver.close)
        store = Store(plan.state.path, wall_ns=wall_ns)

        def on_version(function_ids: Iterable[str], version: CodeVersion) -> None:
            for function_id in function_ids:
                engine.code_changed(function_id, version)

        code = FolderSource(
            store,
            wall_ns=wall_ns,
            on_version=on_version,
            on_notice=lambda text: emit(Notice(text=text)),
        )
        stack.push_async_callback(code.close)
        pruning = asyncio.create_task(store.prune())
        stack.push_async_callback(asyncio.wait, {pruning})
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
                deployment, account, endpoint=None if docker else wire.url, passed=_passed(plan)
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
        engine = Engine(world, registry, pools)
        return engine

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
        self,
        stack: AsyncExitStack,
        engine: Engine,
        announcer: Announcer,
        listeners: tuple[Listener, Listener],
    ) -> None:
        """Answer on both listeners; accepted work runs from now on."""
        config = self._plan.config
        wire, admin = listeners
        site = Site(
            token=self._token,
            driver=self._plan.driver.name,
            facts=announcer.info,
            url_of=announcer.url_of,
        )
        wire_api = self._inside.wire = WireApi(engine)
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


def _passed(plan: Plan) -> dict[str, str]:
    """Give the user's own variables that functions are to have."""
    return {name: plan.environ[name] for name in plan.config.pass_env if name in plan.environ}
