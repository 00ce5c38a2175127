"""What is measured beside the emulator; each is installed from its public package once and kept."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.emulator_process import eventually

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fc-emu-bench"

SELF = """
import sys
from aiohttp import web

async def answer(request):
    return web.Response(body=await request.read())

app = web.Application()
app.router.add_post("/{path:.*}", answer)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
"""

FRAMEWORK = """
def handler(request):
    return request.get_data()
"""

OFFLINE = """
service: bench
provider:
  name: aws
  runtime: nodejs20.x
plugins:
  - serverless-offline
functions:
  hello:
    handler: handler.hello
    events:
      - httpApi: 'POST /hello'
"""

OFFLINE_HANDLER = """
module.exports.hello = async (event) => ({ statusCode: 200, body: event.body })
"""


def free_port() -> int:
    """Give a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(argv: list[str], cwd: Path, port: int) -> Iterator[str]:
    """Run a server until the block is left; give its address once it listens."""
    process = subprocess.Popen(
        argv, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        eventually(lambda: _listens(port) or process.poll() is not None, 60)
        assert process.poll() is None, argv
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 15)
        process.wait(20)


def itself(folder: Path) -> tuple[list[str], int]:
    """An aiohttp server that answers what it was sent: the limit of ours."""
    (folder / "self_answering.py").write_text(SELF)
    port = free_port()
    return [sys.executable, "self_answering.py", str(port)], port


def functions_framework(folder: Path) -> tuple[list[str], int]:
    """functions-framework from PyPI, as its command runs it."""
    home = CACHE / "functions-framework"
    if not (home / "bin" / "functions-framework").exists():
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        subprocess.run([home / "bin/pip", "install", "--quiet", "functions-framework"], check=True)
    (folder / "main.py").write_text(FRAMEWORK)
    port = free_port()
    command = str(home / "bin" / "functions-framework")
    return [command, "--target", "handler", "--host", "127.0.0.1", "--port", str(port)], port


def serverless_offline(folder: Path, *, in_process: bool) -> tuple[list[str], int]:
    """serverless-offline from npm, run by osls, with its workers or in its own process."""
    home = CACHE / "serverless-offline"
    if not (home / "node_modules" / ".bin" / "osls").exists():
        home.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "init", "-y"], cwd=home, check=True, stdout=subprocess.DEVNULL)
        install = ["npm", "install", "--no-fund", "--no-audit", "serverless-offline", "osls"]
        subprocess.run(install, cwd=home, check=True, stdout=subprocess.DEVNULL)
    project = folder / ("in-process" if in_process else "workers")
    project.mkdir()
    (project / "node_modules").symlink_to(home / "node_modules")
    (project / "package.json").write_text('{"name": "bench"}')
    (project / "serverless.yml").write_text(OFFLINE)
    (project / "handler.js").write_text(OFFLINE_HANDLER)
    port = free_port()
    command = str(project / "node_modules" / ".bin" / "osls")
    words = ["offline", "start", "--httpPort", str(port), "--lambdaPort", str(free_port())]
    mode = ["--useInProcess"] if in_process else []
    return ["env", "-C", str(project), command, *words, *mode], port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
