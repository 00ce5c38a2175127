"""Environment variables as a function gets them."""

import pytest

from emulator.project import Notice, Project, ProjectError


def environment(project: Project) -> dict[str, str]:
    return project.functions[0].function.environment_variables


def env_notices(project: Project) -> list[Notice]:
    return [n for n in project.notices if n.key.startswith(("environmentVariables", "-e"))]


@pytest.mark.parametrize("value", ["{a: 1}", "[1, 2]", "\n    - 1"])
def test_map_or_list_is_an_error_naming_the_key(load_props, value):
    with pytest.raises(ProjectError, match=r"^s\.yaml:10: environmentVariables\.A of hello is a "):
        load_props(f"environmentVariables:\n  A: {value}")


@pytest.mark.parametrize("value", ["text", "[A]", "3"])
def test_variables_that_are_no_map_are_an_error(load_props, value):
    with pytest.raises(ProjectError, match=r"^s\.yaml:9: environmentVariables of hello must be"):
        load_props(f"environmentVariables: {value}")


def test_no_variables_at_all_is_fine(load_props):
    assert environment(load_props("environmentVariables:")) == {}


def test_unresolved_map_is_left_out_with_a_warning(load_props):
    project = load_props("environmentVariables: ${vars.gone}")

    assert environment(project) == {}
    assert [n.level for n in env_notices(project)] == ["warn"]


@pytest.mark.parametrize(
    "name", ["FC_REGION", "FC_", "1A", "_A", "A-B", "A.B", '"A B"', '""', '"A=B"', '"Ä"']
)
def test_name_that_the_service_refuses_is_left_out_with_a_warning(load_props, name):
    project = load_props(f"environmentVariables:\n  {name}: x\n  GOOD: y")

    assert environment(project) == {"GOOD": "y"}
    assert [(n.level, n.where) for n in env_notices(project)] == [("warn", "s.yaml:10")]


@pytest.mark.parametrize(
    "text", ["$(touch x)", "`touch x`", "; rm -rf x", 'a"; rm', "a\nb", "ä 中文"]
)
def test_value_is_literal(load_props, folder, text):
    quoted = "'" + text.replace("\n", "\n\n      ") + "'"
    project = load_props(f"environmentVariables:\n  A: {quoted}")

    assert environment(project) == {"A": text}
    assert not (folder / "x").exists()


def test_zero_byte_is_an_error(load_props):
    with pytest.raises(ProjectError, match=r"^s\.yaml:10: environmentVariables\.A .* zero byte"):
        load_props('environmentVariables:\n  A: "a\\0b"')


def test_number_that_javascript_rounds_is_said(load_props):
    project = load_props("environmentVariables:\n  A: 12345678901234567890\n  B: 1234567890123456")

    assert environment(project) == {"A": "12345678901234567000", "B": "1234567890123456"}
    assert [n.key for n in env_notices(project)] == ["environmentVariables.A"]


def test_more_than_4_kb_is_a_warning(load_props):
    at_limit = load_props(f"environmentVariables:\n  A: {'x' * 4095}")
    above = load_props(f"environmentVariables:\n  A: {'x' * 4096}")

    assert env_notices(at_limit) == []
    assert "4097 bytes" in env_notices(above)[0].text


def test_values_are_never_in_a_notice(load_props):
    project = load_props(
        "environmentVariables:\n  FC_TOKEN: hunter2\n  A.B: hunter2\n  C: '${vars.x}hunter2'"
    )

    assert len(env_notices(project)) == 3
    assert not [n for n in project.notices if "hunter2" in str(n)]


def test_command_line_adds_and_replaces(load_props):
    project = load_props(
        "environmentVariables: {A: file, B: file}",
        extra_env={("hello", "B"): "given", ("api", "C"): "$(touch x)", ("default/hello", "D"): ""},
    )

    assert environment(project) == {"A": "file", "B": "given", "C": "$(touch x)", "D": ""}


def test_command_line_obeys_the_same_rules(load_props):
    project = load_props("", extra_env={("hello", "FC_X"): "1", ("hello", "A-B"): "1"})

    assert environment(project) == {}
    assert [n.level for n in env_notices(project)] == ["warn", "warn"]


def test_command_line_value_that_is_no_text_is_an_error(load_props):
    with pytest.raises(ProjectError, match=r"-e hello\.A=\.\.\. is not text"):
        load_props("", extra_env={("hello", "A"): "\udce9"})


def test_command_line_for_an_unknown_function_lists_the_functions(load_props):
    with pytest.raises(
        ProjectError, match=r"s\.yaml: -e helo\.A=\.\.\.: .*'helo'; functions: hello"
    ):
        load_props("", extra_env={("helo", "A"): "1"})
