"""Read-only pictures of the engine, as the admin API and the command line show them."""

from emulator import __version__
from emulator.engine.engine import Engine
from emulator.engine.registry import Deployment


def health(engine: Engine) -> dict[str, str]:
    """Say whether the emulator takes work."""
    return {"status": "stopping" if engine.stopping else "ready", "version": __version__}


def function_item(
    engine: Engine, deployment: Deployment, *, driver: str, url: str
) -> dict[str, object]:
    """Describe a function and its instances; ``url`` is where it is invoked."""
    function = deployment.function
    return {
        "id": function.id,
        "runtime": function.runtime,
        "driver": driver,
        "url": url,
        "source": "file",
        "codeChecksum": engine.pools.checksum(function.id),
        "interpreter": deployment.interpreter or None,
        "interpreterNote": deployment.interpreter_note or None,
        "instances": engine.pools.counts(function.id),
        "held": False,
        "notices": list(deployment.notices),
    }


def counts(engine: Engine) -> dict[str, int]:
    """Count functions and invocations, now."""
    return {
        "functions": len(engine.registry.deployments()),
        "running": engine.running,
        "pending": engine.scheduler.pending,
    }
