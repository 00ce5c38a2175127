"""Functions as records, and where their handlers' modules may be."""

import msgspec
import pytest

from emulator.core.runtimes import RuntimeSpec, handler_paths
from tests.support.fakes import PYTHON, a_function


def test_function_of_a_service_is_known_by_both_names():
    function = a_function("hello", service="svc")

    assert function.id == "svc/hello"
    assert function.shown_service == "svc"


def test_function_without_a_service_is_shown_under_the_default_one():
    function = a_function("hello")

    assert function.id == "hello"
    assert function.shown_service == "default"


def test_record_is_spelled_as_the_api_spells_it():
    record = msgspec.to_builtins(a_function("hello", timeout_s=3))

    assert record == {
        "functionName": "hello",
        "serviceName": None,
        "runtime": "python3.10",
        "handler": "index.handler",
        "timeout": 3,
        "memorySize": 128,
        "environmentVariables": {},
        "description": "",
    }


@pytest.mark.parametrize(
    ("handler", "paths"),
    [
        ("index.handler", ("index.py", "index/__init__.py")),
        ("src/app.main", ("src/app.py", "src/app/__init__.py")),
        ("src/pkg.app.main", ("src/pkg/app.py", "src/pkg/app/__init__.py")),
        ("handler", (".py", "/__init__.py")),
    ],
)
def test_handler_names_the_files_where_its_module_may_be(handler: str, paths: tuple[str, ...]):
    runtime = RuntimeSpec(
        name=PYTHON.name,
        family=PYTHON.family,
        version=PYTHON.version,
        argv=PYTHON.argv,
        bootstrap=PYTHON.bootstrap,
        image=PYTHON.image,
        handler_files=("{module}.py", "{module}/__init__.py"),
    )

    assert handler_paths(runtime, handler) == paths


def test_runtime_without_files_of_its_own_names_none():
    runtime = RuntimeSpec(
        name="custom",
        family="custom",
        version="",
        argv=(),
        bootstrap="",
        image="",
        handler_files=(),
    )

    assert handler_paths(runtime, "index.handler") == ()
