"""Whole files that use most of what the formats offer."""

import json
import shutil
from pathlib import Path

import pytest

from emulator.project import ProjectError, load_project

DATA = Path(__file__).parent / "data"
EXPECTED = json.loads((DATA / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture
def load_sample(folder):
    """Load a sample, copied into a project of its own."""

    def load(name):
        shutil.copy(DATA / name, folder / name)
        return load_project(folder, template=folder / name, environ={})

    return load


@pytest.mark.parametrize("name", EXPECTED)
def test_sample_loads_into_the_expected_functions(load_sample, name):
    project = load_sample(name)

    assert project.format == "fc3"
    for expected, loaded in zip(EXPECTED[name], project.functions, strict=True):
        function = loaded.function
        actual = {
            "id": function.id,
            "runtime": function.runtime,
            "handler": function.handler,
            "timeout": function.timeout,
            "memoryMB": function.memory_size,
            "env": function.environment_variables,
        }
        assert {key: actual[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("name", "warned"),
    [
        ("01-fc3-python-http.s.yaml", {"code", "triggers"}),
        (
            "03-fc3-custom-runtime-domain.s.yaml",
            {"code", "customRuntimeConfig", "domain", "instanceConcurrency", "triggers"},
        ),
        (
            "04-fc3-container-async.s.yaml",
            {
                "asyncInvokeConfig",
                "code",
                "customContainerConfig",
                "gpuConfig",
                "nasConfig",
                "ossMountConfig",
            },
        ),
        ("05-fc3-event-triggers.s.yaml", {"code", "instanceLifecycleConfig", "triggers"}),
    ],
)
def test_sample_warns_about_what_is_not_honoured_yet(load_sample, name, warned):
    notices = load_sample(name).notices

    assert {notice.key for notice in notices if notice.level == "warn"} == warned
    assert all(notice.where.startswith(f"{name}:") for notice in notices)


def test_sample_that_inherits_a_file_says_so_and_has_no_function(load_sample):
    project = load_sample("06-fc3-extend-file.s.prod.yaml")

    assert project.functions == ()
    assert [(n.level, n.key) for n in project.notices] == [("warn", "extend"), ("warn", "api")]


@pytest.mark.parametrize(
    ("name", "line", "says"),
    [
        ("02-fc3-template-extend-timers.s.yaml", 52, "${resources.nightly.props.region}"),
        ("07-fc2-http-domain.s.yaml", 27, "component of web is FC 2.0"),
        ("08-fc2-custom-container-async.s.yml", 12, "component of send is FC 2.0"),
        ("09-ros-mixed.template.yml", 3, "is a Funcraft template"),
        ("10-ros-java-container-other.template.yml", 3, "is a Funcraft template"),
    ],
)
def test_sample_of_what_is_not_read_yet_says_what_it_is(load_sample, name, line, says):
    with pytest.raises(ProjectError) as caught:
        load_sample(name)

    assert str(caught.value).startswith(f"{name}:{line}: ")
    assert says in str(caught.value)
