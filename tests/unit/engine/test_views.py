"""Pictures of the engine for the admin API and the command line."""

from emulator import __version__
from emulator.core.request import Reply, Request
from emulator.drivers.fake import Script, echo
from emulator.engine.views import counts, function_item, health
from tests.support.fakes import EngineRig, Gate


async def test_health_tells_whether_work_is_taken(rig: EngineRig):
    assert health(rig.engine) == {"status": "ready", "version": __version__}

    await rig.engine.stop(0)

    assert health(rig.engine) == {"status": "stopping", "version": __version__}


async def test_counts_are_those_of_now(rig: EngineRig):
    gate = Gate()

    async def answer(request: Request) -> Reply:
        await gate.passed()
        return await echo(request)

    target = rig.add("hello", Script(answer=answer))
    call = rig.calling(target)
    await rig.submit(target, delay_s=60)
    await gate.reached()

    assert counts(rig.engine) == {"functions": 1, "running": 1, "pending": 1}

    gate.open()
    await call
    assert counts(rig.engine) == {"functions": 1, "running": 0, "pending": 1}


async def test_function_is_shown_with_its_code_and_instances(rig: EngineRig):
    target = rig.add("hello")
    version = rig.code.save("hello")
    await rig.invoke(target)

    item = function_item(
        rig.engine, target.deployment, driver="fake", url="http://127.0.0.1:3200/hello"
    )

    assert item == {
        "id": "hello",
        "runtime": "python3.10",
        "driver": "fake",
        "url": "http://127.0.0.1:3200/hello",
        "source": "file",
        "codeChecksum": version.checksum,
        "interpreter": "/usr/bin/python3",
        "interpreterNote": None,
        "instances": {"idle": 1, "busy": 0, "starting": 0},
        "held": False,
        "notices": [],
    }
