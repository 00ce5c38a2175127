"""Project files are read as the vendor's JavaScript tools read them."""

import time

import pytest

from emulator.project import Project, ProjectError, load_project

ENV = "environmentVariables:\n  A: "


def notices(project: Project, level: str = "warn") -> list[str]:
    return [str(n) for n in project.notices if n.level == level and n.key != "code"]


@pytest.mark.parametrize(
    ("written", "received"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("No", "No"),
        ("12:30", "12:30"),
        ("0755", "755"),
        ("08", "8"),
        ("1e3", "1000"),
        ("1_000", "1_000"),
        ("1.0", "1"),
        ("1.50", "1.5"),
        ("-0", "0"),
        ("+5", "5"),
        (".5", "0.5"),
        ("0x1F", "31"),
        ("0o17", "15"),
        ("0b11", "0b11"),
        ("1e21", "1e+21"),
        ("1.25e-7", "1.25e-7"),
        ("0.000001", "0.000001"),
        ("123456.789", "123456.789"),
        ("12345678901234567890", "12345678901234567000"),
        ("0x" + "f" * 300, "Infinity"),
        ("9" * 5000, "Infinity"),
        ("-.inf", "-Infinity"),
        (".nan", "NaN"),
        ("true", "true"),
        ("False", "false"),
        ("2024-01-01", "2024-01-01"),
        ("'1.0'", "1.0"),
        ('"true"', "true"),
        ("!!str 1.0", "1.0"),
        ("!!int 7", "7"),
        ("! 7", "7"),
        ("null ish", "null ish"),
    ],
)
def test_scalars_are_read_and_printed_as_javascript_does(load_props, written, received):
    project = load_props(ENV + written)

    assert project.functions[0].function.environment_variables == {"A": received}


@pytest.mark.parametrize("nothing", ["", "~", "null", "NULL"])
def test_null_variable_is_left_out_with_a_note(load_props, nothing):
    project = load_props(ENV + nothing)

    assert project.functions[0].function.environment_variables == {}
    assert any("environmentVariables.A (s.yaml:10)" in text for text in notices(project, "note"))


@pytest.mark.parametrize(
    "line",
    [
        "timeout: 7\t# a comment",
        "timeout:\t7",
        "timeout: 7 \t",
        "timeout: 7\n\t# only a comment",
        "timeout: 7\n\t\t",
    ],
)
def test_tabs_are_separation_space(load_props, line):
    assert load_props(line).functions[0].function.timeout == 7


def test_a_tab_after_a_dash_is_separation_space(load):
    assert load("resources:\n  x:\n    component: oss\n    l:\n    -\ta\n").functions == ()


def test_tab_indentation_is_an_error_with_its_line(load):
    with pytest.raises(ProjectError, match=r"^s\.yaml:3: is indented with a tab"):
        load("resources:\n  api:\n\tcomponent: fc3\n")


@pytest.mark.parametrize("text", ["\t\na: [\n", "a: 'b\n", "a: b: c\n", "%YAML 1.3\n---\na: 1\n"])
def test_text_that_is_not_yaml_is_an_error_with_a_line(load, text):
    with pytest.raises(ProjectError, match=r"^s\.yaml:\d+: is not YAML: "):
        load(text)


def test_duplicate_key_counts_last_and_warns_with_both_lines(load_props):
    project = load_props("timeout: 7\ntimeout: 9")

    assert project.functions[0].function.timeout == 9
    assert notices(project) == [
        "warn  timeout (s.yaml:10): is written twice, lines 9 and 10; the last one counts"
    ]


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch x']",
        "!Ref Stage",
        "!!set {a}",
        "!!binary aGk=",
        "!Sub [a]",
    ],
)
def test_custom_tag_is_an_error_with_its_line(load_props, folder, value):
    with pytest.raises(ProjectError, match=r"^s\.yaml:9: tag \S+ is not allowed"):
        load_props(f"description: {value}")
    assert sorted(path.name for path in folder.iterdir()) == [".git", "s.yaml"]


def test_value_that_is_not_of_its_tag_is_an_error(load_props):
    with pytest.raises(ProjectError, match="'x' is not a value of type !!int"):
        load_props("timeout: !!int x")


def test_merge_keys_give_what_is_not_written(load_props):
    project = load_props(
        "tags: &first {A: 1, B: 1}\n"
        "supplement: &second {B: 2, C: 2}\n"
        "environmentVariables:\n  <<: [*first, *second]\n  A: 3"
    )

    environment = project.functions[0].function.environment_variables
    assert environment == {"A": "3", "B": "1", "C": "2"}


@pytest.mark.parametrize("bad", ["<<: 3", "<<: [3]", "A: *nothing", "A: &a [*a]"])
def test_broken_alias_or_merge_is_an_error(load_props, bad):
    with pytest.raises(ProjectError, match=r"^s\.yaml:10: "):
        load_props(f"environmentVariables:\n  {bad}")


def test_quoted_placeholder_is_text(load):
    assert load('name: "{{ name }}"\nresources: {}\nedition: 3.0.0\n').name == "{{ name }}"


@pytest.mark.parametrize(
    "value", ["{{ region }}", "{{ region }}-1", "x # {{ y }}\n  - z: {{ region }}"]
)
def test_unquoted_placeholder_is_named(load_props, value):
    with pytest.raises(ProjectError, match=r"s\.yaml:\d+: \{\{ region \}\} is a placeholder"):
        load_props(f"region: {value}")


def test_byte_order_mark_and_windows_line_ends_are_fine(load):
    project = load(b"\xef\xbb\xbfedition: 3.0.0\r\nname: demo\r\nresources: {}\r\n")

    assert project.name == "demo"


def test_text_that_is_not_utf8_is_an_error_with_its_line(load):
    with pytest.raises(ProjectError, match=r"^s\.yaml:2: is not UTF-8"):
        load(b"edition: 3.0.0\nname: caf\xe9\n")


def test_control_character_is_an_error_with_its_line(load):
    with pytest.raises(ProjectError, match=r"^s\.yaml:2: is not YAML: "):
        load("edition: 3.0.0\nname: \x07\n")


def test_second_document_is_an_error(load):
    with pytest.raises(ProjectError, match=r"^s\.yaml:2: holds a second document"):
        load("resources: {}\n---\na: 1\n")


@pytest.mark.parametrize("text", ["[a]: b", "? {a: b}\n: c", "&a [b]: c", "x: &a [b]\n*a : c"])
def test_key_that_is_no_text_is_an_error(load, text):
    with pytest.raises(ProjectError, match="a key must be plain text"):
        load(text)


@pytest.mark.parametrize(
    "text",
    [
        "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 11)),
        "a: &a {" + ",".join(f"k{i}: 1" for i in range(1000)) + "}\n" + "b: {<<: *a}\n" * 500,
        "- a\n" * 200_000,
        "[" * 1_000_000,
        "{" * 1_000_000,
        "- " * 500_000,
        "a:\n" + "".join(f"{' ' * i}b:\n" for i in range(1, 1000)),
        "a0: &a0 " + "[" * 40 + "]" * 40 + "\na1: " + "[" * 40 + "*a0" + "]" * 40,
    ],
    ids=["aliases", "merges", "list", "brackets", "braces", "dashes", "maps", "deep alias"],
)
def test_bombs_are_refused_within_a_second(load, text):
    before = time.perf_counter()

    with pytest.raises(ProjectError, match=r"^s\.yaml:\d+: "):
        load(text)

    assert time.perf_counter() - before < 1


def test_large_file_is_refused_before_it_is_read(folder):
    with (folder / "s.yaml").open("wb") as file:
        file.truncate(50_000_000)
    before = time.perf_counter()

    with pytest.raises(ProjectError, match=r"^s\.yaml: has 50000000 bytes; files over 1048576"):
        load_project(folder, environ={})

    assert time.perf_counter() - before < 1


def test_anchor_of_a_scalar_is_repeated(load_props):
    project = load_props("environmentVariables: {A: &a 1.0, B: *a}")

    assert project.functions[0].function.environment_variables == {"A": "1", "B": "1"}
