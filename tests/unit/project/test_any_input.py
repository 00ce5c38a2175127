"""Whatever a file holds, reading it ends with a project or with the one error."""

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.project import ProjectError, as_s_yaml, load_project

WORDS = st.sampled_from(
    [
        "edition: 3.0.0\n", "resources:\n", "services:\n", "  api:\n", "    component: fc3\n",
        "    props:\n", "      functionName: hello\n", "      code: ", "./src\n", "~", "${vars.a}",
        "${env('X')}", "${this.props.code}", "vars:\n", "  a: ", "&x ", "*x", "<<: ", "!Ref ",
        "|\n", ">-\n", "? ", "- ", "{", "}", "[", "]", "{{ x }}", ": ", "#", "\t", "\n", "'", '"',
        "---\n", "...\n", "%YAML 1.2\n", "\ufeff", "\u2028", "\x00", "\x85", "é", "🚀",
        "1e999", "0x", ".inf",
    ]
)  # fmt: skip

TEXT = st.sampled_from(
    ["", "hello", "${vars.a}", "x${vars.a}${this.props.code}", "${env('X', vars.a)}", "../..", "~"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXT | st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)
PROPS = st.dictionaries(
    st.sampled_from(
        ["functionName", "runtime", "handler", "code", "timeout", "memorySize", "region",
         "description", "environmentVariables", "layers", "x"]
    ),
    VALUES,
)  # fmt: skip
FILES = st.fixed_dictionaries(
    {},
    optional={
        "edition": VALUES,
        "name": VALUES,
        "vars": st.dictionaries(st.just("a"), VALUES) | VALUES,
        "extend": VALUES,
        "Transform": VALUES,
        "Resources": VALUES,
        "resources": VALUES
        | st.fixed_dictionaries(
            {"api": st.fixed_dictionaries({"component": TEXT | st.just("fc3"), "props": PROPS})}
        ),
        "services": VALUES,
    },
)

many = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def read(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    try:
        project = load_project(folder, environ={"X": "${vars.a}"})
    except ProjectError as error:
        assert str(error).isprintable()
        assert str(error).startswith(error.file)
    else:
        assert all(str(notice).isprintable() for notice in project.notices)
        assert all(listed.code_dir.is_absolute() for listed in project.functions)
        as_s_yaml(project)


@many
@given(data=st.binary())
def test_any_bytes(folder, data):
    read(folder, "s.yaml", data)


@many
@given(pieces=st.lists(WORDS | st.text(max_size=3), max_size=40))
def test_any_text_made_of_yaml(folder, pieces):
    read(folder, "s.yaml", "".join(pieces).encode("utf-8", "surrogatepass"))


@many
@given(tree=FILES)
def test_any_tree_under_the_known_keys(folder, tree):
    read(folder, "s.yaml", json.dumps(tree).encode("utf-8", "surrogatepass"))


@many
@given(pieces=st.lists(st.sampled_from(["def handler(", "async ", "event", "):", "\n", " ", "("])))
def test_any_python(folder, pieces):
    read(folder, "index.py", "".join(pieces).encode())


@many
@given(data=st.binary())
def test_any_bytes_as_python(folder, data):
    read(folder, "index.py", data)
