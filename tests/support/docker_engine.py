"""The Docker engine of the tests, asked through its own client and not through the driver."""

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

IMAGE = "fc-emu-test/python:1"
ANSWER_S = 10.0
COMMAND_S = 30.0
BUILD_SCRIPT = Path(__file__).with_name("build-image")


def engine_or_skip() -> str:
    """Give the name of the test image, built when the engine lacks it.

    Without an engine the test is skipped; in CI, which has to have one, it fails.
    """
    if not _engine_answers():
        if os.environ.get("CI") == "true":
            pytest.fail("no Docker engine answers")
        pytest.skip("no Docker engine answers")
    if problem := _image_problem():
        pytest.fail(f"the test image was not built:\n{problem}")
    return IMAGE


def docker_words() -> list[str]:
    """Options of ``fc-emu start`` that run every Python function in the test image."""
    image = engine_or_skip()
    names = ("python3", "python3.9", "python3.10", "python3.12")
    return ["--driver", "docker", *(word for n in names for word in ("--image", f"{n}={image}"))]


def containers_with(label: str) -> list[str]:
    """Name the containers, running or not, that have the label ``NAME`` or ``NAME=VALUE``."""
    return _docker("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={label}").split()


def networks_with(label: str) -> list[str]:
    """Name the networks that have the label ``NAME`` or ``NAME=VALUE``."""
    return _docker("network", "ls", "--quiet", "--no-trunc", "--filter", f"label={label}").split()


def inspect(container_id: str) -> dict[str, Any]:
    """Give all that the engine tells of a container."""
    found: list[dict[str, Any]] = json.loads(
        _docker("inspect", "--type", "container", container_id)
    )
    return found[0]


# Asked once a session: each test would wait as long for the same answer.
@cache
def _engine_answers() -> bool:
    try:
        answer = subprocess.run(
            ["docker", "version"], capture_output=True, timeout=ANSWER_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


# The problem is what is given, not raised, so that a build that fails is not tried again either.
@cache
def _image_problem() -> str:
    known = subprocess.run(
        ["docker", "image", "inspect", IMAGE], capture_output=True, timeout=COMMAND_S, check=False
    )
    if known.returncode == 0:
        return ""
    build = subprocess.run(
        [str(BUILD_SCRIPT)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return "" if build.returncode == 0 else build.stderr or f"exit status {build.returncode}"


def _docker(*words: str) -> str:
    done = subprocess.run(
        ["docker", *words], capture_output=True, text=True, timeout=COMMAND_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
